/** What the other rooms may use of the engine. */
export {
  type Engine,
  type EngineOptions,
  type KernelFacts,
  type LabelledImages,
  openEngine,
  type StepOptions,
  type StepResult,
} from './engine.ts';
export { initialParameters } from './initial.ts';
export { type Network, networkSchema, parameterShapes, pneumoniaNetwork } from './network.ts';
export { type EpochResult, evaluate, type TrainOptions, type TrainProgress, train } from './train.ts';
