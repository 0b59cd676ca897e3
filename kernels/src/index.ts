/** @file What the module exports: the hot loops of src/engine, over addresses in the one linear memory. */
import { madd } from './simd';

export { convBackward, convBackward1, packBackward } from './backward';
export { conv, convWeightGradient, packConv, packTransposed } from './conv';
export { denseBackward, denseForward, denseHiddenGradient, denseReduce } from './dense';
export { depthwise, depthwiseWeightGradient } from './depthwise';
export { dropout } from './dropout';
export { addRows, clearRows, copyRows, gelu, geluGradient, relu, reluGradient, sumImages } from './elementwise';
export { convPoolRelu, normalise, packWeights } from './forward';
export {
  blend, channelAffine, channelGradient, channelGradientSums, channelSquares, channelSums, groupMeans, normCoefficients,
  normGradientCoefficients,
} from './norm';
export { averagePool, averagePoolGradient, maxPool, maxPoolGradient } from './pool';
export { sumAndUpdate, updateRange } from './update';
export { turnWeights, winogradConv, winogradPoolRelu, winogradWeights } from './winograd';

/** a * b + c as the kernels compute it: tells whether multiply and add are fused here. */
export function multiplyAdd(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}
