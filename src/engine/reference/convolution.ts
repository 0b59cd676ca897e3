/** @file Convolution and linear layers of the oracle. */
import type { Conv2d, Layer } from '../layers.ts';
import { type Batch, batchOf, channelOf, type Evaluated, plane, sumBy, type Values } from './tensor.ts';
import { windowed } from './windows.ts';

/** y[b,o,i,j] = bias[o] + sum over c, u, v of w[o,c,u,v] x[b, c + first of o's group, i s - p + u, j s - p + v]. */
export function conv2d(layer: Conv2d, x: Batch, { weight, bias }: Values): Evaluated {
  const { out_channels: outputs, groups, kernel_size: kernel } = layer;
  const inputs = x.shape.channels / groups;
  const { height, width, taps } = windowed(layer, x.shape);
  const y = batchOf(x.images, { channels: outputs, height, width });
  /** Where the planes of y and x and the kernel of w begin that meet in the sum above. */
  function* meetings() {
    for (let b = 0; b < x.images; b++)
      for (let o = 0; o < outputs; o++) {
        const first = Math.floor(o / (outputs / groups)) * inputs;
        for (let c = 0; c < inputs; c++)
          yield [plane(y, b, o), plane(x, b, first + c), (o * inputs + c) * kernel[0] * kernel[1]] as const;
      }
  }
  const channel = channelOf(y);
  if (bias) for (const e of y.data.keys()) y.data[e] = bias[channel(e)]!;
  for (const [inY, inX, inW] of meetings())
    for (const { out, from, tap } of taps) y.data[inY + out]! += weight![inW + tap]! * x.data[inX + from]!;
  const backward = (gY: Float64Array) => {
    const gX = new Float64Array(x.data.length);
    const gW = new Float64Array(weight!.length);
    for (const [inY, inX, inW] of meetings())
      for (const { out, from, tap } of taps) {
        gX[inX + from]! += weight![inW + tap]! * gY[inY + out]!;
        gW[inW + tap]! += x.data[inX + from]! * gY[inY + out]!;
      }
    return { gX, gP: { weight: gW, ...(bias && { bias: sumBy(gY, outputs, channel) }) } };
  };
  return { y, backward };
}

/** y[b,n] = bias[n] + sum over k of w[n,k] x[b,k], x flattened as C, H, W. */
export function linear(layer: Extract<Layer, { op: 'linear' }>, x: Batch, { weight, bias }: Values): Evaluated {
  const N = layer.out_features;
  const K = x.data.length / x.images;
  const y = batchOf(x.images, { channels: N, height: 1, width: 1 });
  for (let b = 0; b < x.images; b++)
    for (let n = 0; n < N; n++) {
      let sum = bias ? bias[n]! : 0;
      for (let k = 0; k < K; k++) sum += weight![n * K + k]! * x.data[b * K + k]!;
      y.data[b * N + n] = sum;
    }
  const backward = (gY: Float64Array) => {
    const gX = new Float64Array(x.data.length);
    const gW = new Float64Array(weight!.length);
    for (let b = 0; b < x.images; b++)
      for (let n = 0; n < N; n++) {
        const g = gY[b * N + n]!;
        for (let k = 0; k < K; k++) {
          gX[b * K + k]! += weight![n * K + k]! * g;
          gW[n * K + k]! += x.data[b * K + k]! * g;
        }
      }
    return { gX, gP: { weight: gW, ...(bias && { bias: sumBy(gY, N, channelOf(y)) }) } };
  };
  return { y, backward };
}
