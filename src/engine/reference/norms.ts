/** @file Normalisation of the oracle: y = weight (x - mean) / sqrt(variance + eps) + bias, weight and bias by channel. */
import type { Layer } from '../layers.ts';
import { type Batch, batchOf, channelOf, type Evaluated, product, sumBy, type Values } from './tensor.ts';

/** Sets of elements that share a mean and a variance: how many, and which one an element is in. */
interface Sets {
  readonly count: number;
  readonly of: (e: number) => number;
}

/** Mean and variance of one channel over the batch (Ioffe and Szegedy, ICML 2015), or in evaluation the running ones. */
export function batchNorm2d(
  { eps, momentum }: Extract<Layer, { op: 'batch_norm2d' }>,
  x: Batch,
  parameters: Values,
  training: boolean,
): Evaluated {
  const { running_mean: runningMean, running_var: runningVar } = parameters;
  const sets = { count: x.shape.channels, of: channelOf(x) };
  if (!training) return affine(x, parameters, sets, runningMean!, runningVar!, eps);
  const { mean, variance, size } = statistics(x, sets);
  const towards = (running: Float64Array, batch: Float64Array): Float64Array =>
    running.map((old, c) => (1 - momentum) * old + momentum * batch[c]!);
  return {
    ...normalised(x, parameters, sets, eps),
    // The batch is normalised by its own variance, sum / n; the estimate for all images is sum / (n - 1).
    buffers: {
      running_mean: towards(runningMean!, mean),
      running_var: towards(
        runningVar!,
        variance.map((value) => (value * size) / (size - 1)),
      ),
    },
  };
}

/** Mean and variance of one group of channels of one image (Wu and He, ECCV 2018). */
export function groupNorm(
  { num_groups: groups, eps }: Extract<Layer, { op: 'group_norm' }>,
  x: Batch,
  parameters: Values,
): Evaluated {
  const size = x.data.length / (x.images * groups);
  return normalised(x, parameters, { count: x.images * groups, of: (e) => Math.floor(e / size) }, eps);
}

function statistics({ data }: Batch, { count, of }: Sets) {
  const size = data.length / count;
  const mean = sumBy(data, count, of).map((sum) => sum / size);
  const squares = data.map((value, e) => (value - mean[of(e)]!) ** 2);
  return { mean, variance: sumBy(squares, count, of).map((sum) => sum / size), size };
}

/** With the sets' own mean and variance, through which the gradient passes too. */
function normalised(x: Batch, parameters: Values, sets: Sets, eps: number): Evaluated {
  const { mean, variance, size } = statistics(x, sets);
  const { y, backward: backwardFixed } = affine(x, parameters, sets, mean, variance, eps);
  const hat = x.data.map((value, e) => (value - mean[sets.of(e)]!) / Math.sqrt(variance[sets.of(e)]! + eps));
  const backward = (gY: Float64Array) => {
    // With fixed statistics gX = g / std; the mean's and the variance's share is taken off.
    const { gX, gP } = backwardFixed(gY);
    const meanG = sumBy(gX, sets.count, sets.of).map((sum) => sum / size);
    const meanGHat = sumBy(product(gX, hat), sets.count, sets.of).map((sum) => sum / size);
    return { gX: gX.map((g, e) => g - meanG[sets.of(e)]! - hat[e]! * meanGHat[sets.of(e)]!), gP };
  };
  return { y, backward };
}

/** With fixed statistics. */
function affine(
  x: Batch,
  { weight, bias }: Values,
  sets: Sets,
  mean: Float64Array,
  variance: Float64Array,
  eps: number,
) {
  const channel = channelOf(x);
  const { channels } = x.shape;
  const inverse = variance.map((value) => 1 / Math.sqrt(value + eps));
  const hat = x.data.map((value, e) => (value - mean[sets.of(e)]!) * inverse[sets.of(e)]!);
  const y = hat.map((value, e) => weight![channel(e)]! * value + bias![channel(e)]!);
  const backward = (gY: Float64Array) => ({
    gX: gY.map((g, e) => g * weight![channel(e)]! * inverse[sets.of(e)]!),
    gP: { weight: sumBy(product(gY, hat), channels, channel), bias: sumBy(gY, channels, channel) },
  });
  return { y: batchOf(x.images, x.shape, y), backward };
}
