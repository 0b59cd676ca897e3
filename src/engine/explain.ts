/**
 * @file Class activation maps: where in an image a network sees what speaks for pneumonia. Made of the last feature map A [C, H, W] and
 * the gradient of the score with respect to it; what speaks against is cut off.
 *
 * Grad-CAM (Selvaraju et al., ICCV 2017): ReLU(sum_k w_k A_k), w_k the mean of the gradient over the image. HiResCAM (Draelos and
 * Carin, arXiv:2011.08891): ReLU(sum_k dy/dA_k * A_k), position by position. Where a network ends in the mean over the image they are the
 * same. Where it ends in linear layers, as PneumoniaNetwork does, Grad-CAM may point at places that the network does not use;
 * HiResCAM adds up to the score less its constant part. The score y is the log odds of PNEUMONIA, the difference of the two logits: what
 * is added to both changes no probability and no map.
 */
import type { ParameterSet } from '../base/index.ts';
import { elements, type Shape } from './graph.ts';
import type { Network } from './network.ts';
import { tailOf } from './tail.ts';

/** The activations of the last feature map (see `lastFeatureMap`). */
export interface FeatureMaps {
  /** Of one image. */
  readonly shape: Shape;
  /** [N, H, W, C]. */
  readonly data: Float32Array;
}

/** The ways to make a map. */
export const CAM_METHODS = ['grad-cam', 'hires-cam'] as const;
export type CamMethod = (typeof CAM_METHODS)[number];

/** Maps [N, H, W], 0 or more. */
export function classActivationMaps(
  network: Network,
  parameters: ParameterSet,
  { shape, data }: FeatureMaps,
  method: CamMethod,
): Float32Array {
  const tail = tailOf(network, parameters);
  const { channels } = shape;
  const pixels = shape.height * shape.width;
  const maps = new Float32Array((data.length / elements(shape)) * pixels);
  const features = new Float64Array(elements(shape));
  for (let from = 0; from < maps.length; from += pixels) {
    for (let at = 0; at < pixels; at++)
      for (let c = 0; c < channels; c++) features[c * pixels + at] = data[(from + at) * channels + c]!;
    const { gradient } = tail.logOdds(features);
    if (method === 'grad-cam') averageEach(gradient, pixels);
    for (let at = 0; at < pixels; at++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += gradient[c * pixels + at]! * features[c * pixels + at]!;
      maps[from + at] = Math.max(0, sum);
    }
  }
  return maps;
}

/** Replaces each run of `pixels` values by their mean. */
function averageEach(values: Float64Array, pixels: number): void {
  for (let from = 0; from < values.length; from += pixels) {
    const channel = values.subarray(from, from + pixels);
    channel.fill(channel.reduce((sum, value) => sum + value, 0) / pixels);
  }
}
