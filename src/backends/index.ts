/** What the other rooms may use of backends. */
export type { Backend, Outcome, RunUpdate } from './backend.ts';
export type { Attempt, AttemptEnd, Executor } from './executor.ts';
export { type LocalBackendOptions, localBackend, openLocalExecutor } from './local/local-backend.ts';
export { runStepHere, type StepHost, type StepWork } from './local/run-step-here.ts';
export { detectSandbox, type SandboxKind } from './local/sandbox.ts';
export { type OutputPlace, outputUri, publishOutputs } from './publish-outputs.ts';
export { runGraph } from './run-graph.ts';
