/** @file What the module exports: the hot loops of src/engine, over addresses in the one linear memory. */
import { madd } from './simd';

export { convBackward, convBackward1, packBackward } from './backward';
export { denseBackward, denseForward, denseReduce } from './dense';
export { dropout } from './dropout';
export { convPoolRelu, normalise, packWeights } from './forward';
export { sumAndUpdate, updateRange } from './update';
export { winogradPoolRelu, winogradWeights } from './winograd';

/** a * b + c as the kernels compute it: tells whether multiply and add are fused here. */
export function multiplyAdd(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}
