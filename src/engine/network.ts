/**
 * @file The network, as a value: plain JSON that travels in graphs and model files. Layers are described in layers.ts; the last
 * one gives the two logits, NORMAL and PNEUMONIA.
 */
import { z } from 'zod';
import { elementCount, FedradError, type ParameterShapes } from '../base/index.ts';
import { flatten, nodeParameters } from './graph.ts';
import { type Layer, layersSchema } from './layers.ts';

/** 1 GiB; training needs several times that, and has 4. */
const MOST_PARAMETERS = 2 ** 28;

export const networkSchema = z
  .strictObject({
    /** Height and width of an image, pixels; a multiple of 8. */
    imageSize: z.int().multipleOf(8).min(8).max(1024),
    classes: z.literal(2),
    /** Of pixels scaled to 0..1: input = (pixel / 255 - mean) / std. */
    normalisation: z.strictObject({
      mean: z.number().min(0).max(1),
      std: z.number().positive(),
      /** Each image's histogram is equalised first, a margin of this share on each side not counted. Default: no. */
      equalise: z.number().min(0).max(0.4).optional(),
    }),
    layers: layersSchema,
  })
  .superRefine(({ imageSize, classes, layers }, context) => {
    const refuse = (where: string, message: string): void =>
      void context.addIssue({ code: 'custom', path: [where], message });
    try {
      const parameters = [...shapesOf(layers, imageSize).values()].reduce((sum, shape) => sum + elementCount(shape), 0);
      if (parameters > MOST_PARAMETERS)
        refuse('layers', `they have ${parameters} parameters, at most ${MOST_PARAMETERS} can be trained`);
    } catch (error) {
      if (!(error instanceof FedradError)) throw error;
      refuse(error.where, `${error.problem} (${error.remedy})`);
    }
    const last = layers.at(-1);
    if (last?.op !== 'linear' || last.out_features !== classes)
      refuse('layers', `the last layer must be linear with out_features: ${classes}`);
  });

/** A network's description. */
export type Network = z.infer<typeof networkSchema>;

/** Mean and deviation of the pixels, as the Azure ML example normalises them. */
export const NORMALISATION = { mean: 0.4818, std: 0.2357 } as const;

export interface PneumoniaOptions {
  readonly imageSize?: number;
  /** Output channels of each block of conv 3x3, ReLU and max-pool 2. */
  readonly channels?: readonly number[];
  readonly hidden?: number;
  /** After each block but the first. */
  readonly dropout?: number;
}

/** The network of the Azure ML example (PneumoniaNetwork): 224x224, channels 32, 64, 128, 256 hidden units; options replace parts of it. */
export function pneumoniaNetwork(options: PneumoniaOptions = {}): Network {
  const { imageSize = 224, channels = [32, 64, 128], hidden = 256, dropout = 0.2 } = options;
  const layers = channels.flatMap((outputs, i): Layer[] => [
    { ...convolution(`conv${i + 1}`, outputs), bias: true },
    { op: 'relu' },
    { op: 'max_pool2d', kernel_size: [2, 2], padding: [0, 0] },
    ...(i > 0 && dropout > 0 ? [{ op: 'dropout', p: dropout } as const] : []),
  ]);
  return networkSchema.parse({
    imageSize,
    classes: 2,
    normalisation: NORMALISATION,
    layers: [
      ...layers,
      { op: 'linear', name: 'fc1', out_features: hidden },
      { op: 'relu' },
      { op: 'linear', name: 'fc2', out_features: 2 },
    ],
  });
}

/** A 3x3 convolution that keeps the size, or halves it with stride 2; without bias, as before a norm. */
export const convolution = (name: string, outputs: number, stride = 1) => ({
  op: 'conv2d' as const,
  name,
  out_channels: outputs,
  kernel_size: [3, 3] as [number, number],
  stride: [stride, stride] as [number, number],
  padding: [1, 1] as [number, number],
  groups: 1,
  bias: false,
});

/** Names and shapes of parameters and buffers, PyTorch's, in the order of the layers. */
export const parameterShapes = ({ layers, imageSize }: Network): ParameterShapes => shapesOf(layers, imageSize);

function shapesOf(layers: readonly Layer[], imageSize: number): ParameterShapes {
  const { nodes, shapes } = flatten(layers, imageSize);
  return new Map(nodes.flatMap((node) => [...nodeParameters(node, shapes[node.inputs[0]!]!)]));
}
