/**
 * @file Grad-CAM (Selvaraju et al., ICCV 2017): where in an image a network sees what speaks for pneumonia.
 *
 * The last feature map A [C, H, W] is weighted by channel with the mean gradient of the score, summed over the channels, and what
 * speaks against is cut off: ReLU(sum_k mean(dy / dA_k) A_k). The score y is the log odds of PNEUMONIA, the difference of the two
 * logits: what is added to both changes no probability and no map.
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

/** Maps [N, H, W], 0 or more, in units of the log odds by position: coarse, one value for each position of the feature map. */
export function gradCam(network: Network, parameters: ParameterSet, { shape, data }: FeatureMaps): Float32Array {
  const tail = tailOf(network, parameters);
  const { channels } = shape;
  const pixels = shape.height * shape.width;
  const maps = new Float32Array((data.length / elements(shape)) * pixels);
  const features = new Float64Array(elements(shape));
  for (let from = 0; from < maps.length; from += pixels) {
    for (let at = 0; at < pixels; at++)
      for (let c = 0; c < channels; c++) features[c * pixels + at] = data[(from + at) * channels + c]!;
    const { gradient } = tail.logOdds(features);
    for (let c = 0; c < channels; c++) {
      const weight = gradient.subarray(c * pixels, (c + 1) * pixels).reduce((sum, g) => sum + g, 0) / pixels;
      for (let at = 0; at < pixels; at++) maps[from + at]! += weight * features[c * pixels + at]!;
    }
  }
  return maps.map((value) => Math.max(0, value));
}
