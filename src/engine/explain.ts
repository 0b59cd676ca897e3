/**
 * @file Class activation maps: where in an image a network sees what speaks for pneumonia, by HiResCAM (Draelos and Carin,
 * arXiv:2011.08891).
 *
 * The last feature map A [C, H, W] times the gradient of the score, element by element, summed over the channels; what speaks against
 * is cut off: ReLU(sum_k dy/dA_k * A_k). Where a network ends in the mean over the image, this is Grad-CAM (Selvaraju et al., ICCV
 * 2017). Where it ends in linear layers, as PneumoniaNetwork does, Grad-CAM takes the mean of the gradient over the image
 * first, and so points at places that the network does not use; with ReLU between linear layers this map adds up to the score less
 * its constant part. The score y is the log odds of PNEUMONIA, the difference of the two logits: what is added to both changes
 * no probability and no map.
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

/** Maps [N, H, W], 0 or more: what each position of the feature map adds to the log odds. */
export function classActivationMaps(
  network: Network,
  parameters: ParameterSet,
  { shape, data }: FeatureMaps,
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
    for (let at = 0; at < pixels; at++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += gradient[c * pixels + at]! * features[c * pixels + at]!;
      maps[from + at] = Math.max(0, sum);
    }
  }
  return maps;
}
