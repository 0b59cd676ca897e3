/**
 * @file The layers a network is described with, as data: names, options and defaults are those of torch.nn, written in
 * snake_case so that a YAML file and a TypeScript value look the same.
 *
 * `name` is the prefix of a layer's parameters in the state_dict (`layer1.0.conv1`). A linear layer flattens what it is given in
 * PyTorch's order (C, H, W).
 */
import { z } from 'zod';

const name = z
  .string()
  .max(100)
  .regex(/^[A-Za-z_]\w*(\.\w+)*$/, 'expected letters, digits, "_" and dots, like layer1.0.conv1');

/** Height and width; one number stands for both. */
const pair = (least: number, most: number) => {
  const size = z.int().min(least).max(most);
  return z.union([size.transform((both): [number, number] => [both, both]), z.tuple([size, size])]);
};

const epsilon = z.number().positive().max(1).default(1e-5);

const conv2d = z.strictObject({
  op: z.literal('conv2d'),
  name,
  out_channels: z.int().min(1).max(2048),
  kernel_size: pair(1, 15),
  stride: pair(1, 8).prefault(1),
  padding: pair(0, 14).prefault(0),
  groups: z.int().min(1).max(2048).default(1),
  bias: z.boolean().default(true),
});

const pool = {
  kernel_size: pair(1, 15),
  /** Default: the kernel's size. */
  stride: pair(1, 15).optional(),
  /** At most half the kernel's size. An average counts the padding as zeros. */
  padding: pair(0, 7).prefault(0),
};

const leaf = [
  conv2d,
  z.strictObject({ op: z.literal('max_pool2d'), ...pool }),
  z.strictObject({ op: z.literal('avg_pool2d'), ...pool }),
  /** The mean of each channel over height and width: [C, H, W] to [C, 1, 1]. */
  z.strictObject({ op: z.literal('global_avg_pool') }),
  z.strictObject({
    op: z.literal('batch_norm2d'),
    name,
    eps: epsilon,
    /** Weight of the newest batch in the running statistics. */
    momentum: z.number().positive().max(1).default(0.1),
  }),
  z.strictObject({ op: z.literal('group_norm'), name, num_groups: z.int().min(1).max(2048), eps: epsilon }),
  z.strictObject({ op: z.literal('relu') }),
  /** x times the standard normal distribution function (Hendrycks and Gimpel, 2016), by erf as PyTorch's default. */
  z.strictObject({ op: z.literal('gelu') }),
  /** Probability that an activation is dropped in training; used in steps of 1/65536. */
  z.strictObject({ op: z.literal('dropout'), p: z.number().min(0).max(0.9) }),
  z.strictObject({
    op: z.literal('linear'),
    name,
    out_features: z.int().min(1).max(8192),
    bias: z.boolean().default(true),
  }),
] as const;

type Leaf = z.infer<(typeof leaf)[number]>;

/** body(x) + shortcut(x); an empty shortcut is x itself. */
export interface Residual {
  op: 'residual';
  body: Layer[];
  shortcut: Layer[];
}

export type Layer = Leaf | Residual;
export type Conv2d = Extract<Layer, { op: 'conv2d' }>;

export const layerSchema: z.ZodType<Layer> = z.lazy(() =>
  z.discriminatedUnion('op', [
    ...leaf,
    z.strictObject({
      op: z.literal('residual'),
      body: z.array(layerSchema).min(1),
      shortcut: z.array(layerSchema).default([]),
    }),
  ]),
) as z.ZodType<Layer>;
