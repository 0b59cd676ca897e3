/** What the other rooms may use of components. */
export type { ComponentSpec, Needs } from './component.ts';
export { checkShares, readShare } from './data-facts.ts';
export { eachLine } from './each-line.ts';
export { type Evidence, evidenceSchema } from './evidence.ts';
export { mayLeave, messageIn, type StepMessage, stepMessageSchema } from './messages.ts';
export { cardFiles, cardPaths, readModelCard } from './model-card-file.ts';
export { LABELS, MODEL_FILE, type ModelFile, modelMetadata, modelSha256, readModel } from './model-file.ts';
export { describeTorch, findTorch, type Torch } from './pytorch/find-torch.ts';
export { COMPONENTS, type ComponentName, componentNameSchema } from './specs.ts';
export { type StepArguments, stepArguments } from './step-arguments.ts';
export { openStepLog } from './step-log.ts';
export { REFUSED, runStep } from './step-process.ts';
