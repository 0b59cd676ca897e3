/**
 * @file The network, as a value: blocks of conv 3x3 + ReLU + max-pool 2x2, dropout after each block but the first, a dense
 * hidden layer with ReLU, two classes. The defaults are the network of the FL pneumonia example (PneumoniaNetwork).
 *
 * Axes: B images, H = W = image size, C channels of a block, N hidden units, K = inputs of the hidden layer.
 */
import { z } from 'zod';
import type { ParameterShapes } from '../base/index.ts';

export const networkSchema = z
  .strictObject({
    /** Height and width of an image, pixels; a multiple of 8 and of 2^blocks. */
    imageSize: z.int().multipleOf(8).min(8).max(1024),
    /** Output channels of each block, first to last; multiples of 8. */
    channels: z.array(z.int().multipleOf(8).min(8).max(512)).min(1).max(6),
    /** Hidden units; a multiple of 32. */
    hidden: z.int().multipleOf(32).min(32).max(4096),
    classes: z.literal(2),
    /** Probability that an activation is dropped in training; used in steps of 1/65536. */
    dropout: z.number().min(0).max(0.9),
    /** Of pixels scaled to 0..1: input = (pixel / 255 - mean) / std. */
    normalisation: z.strictObject({ mean: z.number().min(0).max(1), std: z.number().positive() }),
  })
  .refine(({ imageSize, channels }) => imageSize % 2 ** channels.length === 0, {
    path: ['imageSize'],
    message: 'each block halves the image: expected a multiple of 2^blocks',
  });

/** A network's description; plain JSON. */
export type Network = z.infer<typeof networkSchema>;

/** The pneumonia network: 224x224, channels 32, 64, 128, 256 hidden units; `options` replaces parts of it. */
export const pneumoniaNetwork = (options: Partial<Network> = {}): Network =>
  networkSchema.parse({
    imageSize: 224,
    channels: [32, 64, 128],
    hidden: 256,
    classes: 2,
    dropout: 0.2,
    normalisation: { mean: 0.4818, std: 0.2357 },
    ...options,
  });

/** One conv block: `size` is the height and width of its input; its output has half of it. */
export interface Block {
  readonly size: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** The conv blocks, first to last. */
export const blocksOf = ({ imageSize, channels }: Network): readonly Block[] =>
  channels.map((outputs, i) => ({ size: imageSize >> i, inputs: channels[i - 1] ?? 1, outputs }));

/** The last block's output: height and width, channels, and their product K (inputs of the hidden layer). */
export function featuresOf({ imageSize, channels }: Network) {
  const size = imageSize >> channels.length;
  const depth = channels.at(-1)!;
  return { size, channels: depth, inputs: size * size * depth };
}

/** Names and shapes of the parameters, PyTorch's: `conv1.weight [CO, CI, 3, 3]`, `fc1.weight [N, C H W]`. */
export function parameterShapes(network: Network): ParameterShapes {
  const shapes = new Map<string, readonly number[]>();
  for (const [i, { inputs, outputs }] of blocksOf(network).entries()) {
    shapes.set(`conv${i + 1}.weight`, [outputs, inputs, 3, 3]);
    shapes.set(`conv${i + 1}.bias`, [outputs]);
  }
  shapes.set('fc1.weight', [network.hidden, featuresOf(network).inputs]);
  shapes.set('fc1.bias', [network.hidden]);
  shapes.set('fc2.weight', [network.classes, network.hidden]);
  shapes.set('fc2.bias', [network.classes]);
  return shapes;
}
