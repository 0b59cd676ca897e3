/**
 * @file Finds the networks that the fused kernels run: blocks of conv 3x3 + ReLU + max-pool 2x2, dropout after each block but the
 * first, a hidden linear layer with ReLU, two classes.
 *
 * Axes: B images, H = W = image size, C channels of a block, N hidden units, K = inputs of the hidden layer.
 */
import type { Conv2d, Layer } from './layers.ts';
import type { Network } from './network.ts';

export interface FusedNetwork {
  readonly imageSize: number;
  readonly normalisation: Network['normalisation'];
  readonly classes: 2;
  /** Output channels of each block, first to last; multiples of 8. */
  readonly channels: readonly number[];
  /** Hidden units; a multiple of 32. */
  readonly hidden: number;
  readonly dropout: number;
}

/** The fused form of a network, or undefined where it has another. Parameters are named conv1.., fc1, fc2. */
export function fusedForm({ imageSize, normalisation, classes, layers }: Network): FusedNetwork | undefined {
  const channels: number[] = [];
  const dropouts = new Set<number>();
  let at = 0;
  for (let block = 1; isBlock(layers.slice(at, at + 3), `conv${block}`); block++) {
    channels.push((layers[at] as Conv2d).out_channels);
    at += 3;
    const next = layers[at];
    if (next?.op === 'dropout') at += 1;
    if (block > 1) dropouts.add(next?.op === 'dropout' ? next.p : 0);
    else if (next?.op === 'dropout') return undefined;
  }
  const [hidden, relu, head, ...more] = layers.slice(at);
  if (hidden?.op !== 'linear' || relu?.op !== 'relu' || head?.op !== 'linear' || more.length > 0) return undefined;
  const fits =
    channels.length > 0 &&
    channels.every((count) => count % 8 === 0) &&
    imageSize % 2 ** channels.length === 0 &&
    hidden.out_features % 32 === 0 &&
    dropouts.size <= 1 &&
    hidden.name === 'fc1' &&
    head.name === 'fc2' &&
    hidden.bias &&
    head.bias;
  const dropout = [...dropouts][0] ?? 0;
  return fits ? { imageSize, normalisation, classes, channels, hidden: hidden.out_features, dropout } : undefined;
}

function isBlock([conv, relu, pool]: readonly Layer[], name: string): boolean {
  return (
    conv?.op === 'conv2d' &&
    conv.name === name &&
    conv.bias &&
    conv.groups === 1 &&
    `${conv.kernel_size} ${conv.stride} ${conv.padding}` === '3,3 1,1 1,1' &&
    relu?.op === 'relu' &&
    pool?.op === 'max_pool2d' &&
    `${pool.kernel_size} ${pool.stride ?? pool.kernel_size} ${pool.padding}` === '2,2 2,2 0,0'
  );
}

/** One conv block: `size` is the height and width of its input; its output has half of it. */
export interface Block {
  readonly size: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** The conv blocks, first to last. */
export const blocksOf = ({ imageSize, channels }: FusedNetwork): readonly Block[] =>
  channels.map((outputs, i) => ({ size: imageSize >> i, inputs: channels[i - 1] ?? 1, outputs }));

/** The last block's output: height and width, channels, and their product K (inputs of the hidden layer). */
export function featuresOf({ imageSize, channels }: FusedNetwork) {
  const size = imageSize >> channels.length;
  const depth = channels.at(-1)!;
  return { size, channels: depth, inputs: size * size * depth };
}
