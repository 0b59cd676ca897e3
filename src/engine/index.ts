/** What the other rooms may use of the engine. */

export { type Augmentation, augmentationSchema, openAugmenter } from './augment.ts';
export { type ClassWeights, classWeightsSchema } from './class-weights.ts';
export {
  type Engine,
  type EngineOptions,
  type KernelFacts,
  type LabelledImages,
  openEngine,
  type StepOptions,
  type StepResult,
} from './engine.ts';
export { equalise } from './equalise.ts';
export { CAM_METHODS, type CamMethod, classActivationMaps, type FeatureMaps } from './explain.ts';
export { elements, flatten, type NetworkGraph, type Node, nodeParameters, type Shape } from './graph.ts';
export { initialParameters } from './initial.ts';
export { type Layer, layersSchema } from './layers.ts';
export { type Network, NORMALISATION, networkSchema, parameterShapes, pneumoniaNetwork } from './network.ts';
export { NETWORKS, resnet18, smallNetwork } from './networks.ts';
export { encodeOnnx, type OnnxDescription } from './onnx.ts';
export { ONNX_NAMES } from './onnx-graph.ts';
export { type Optimiser, optimiserSchema, type Schedule, scheduleSchema, sgd } from './optimiser.ts';
export { type EpochResult, evaluate, type TrainOptions, type TrainProgress, train } from './train.ts';
export { hasSecondMoments } from './update.ts';
