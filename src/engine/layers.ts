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

/** In single precision a smaller one vanishes beside 0. */
const epsilon = z.number().min(1e-12).max(1).default(1e-5);

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

/** Of a network, layers in layers counted: more than any small network has. */
const MOST_LAYERS = 2000;
const MOST_LEVELS = 32;

/** Whether a description has few enough layers to be looked at; without recursion, since it may come from elsewhere. */
function isBounded(layers: unknown): boolean {
  const waiting: { readonly value: unknown; readonly level: number }[] = [{ value: layers, level: 0 }];
  for (let seen = 0; waiting.length > 0; seen++) {
    const { value, level } = waiting.pop()!;
    // A layer may hold two lists of layers and three pairs of numbers.
    if (seen > 6 * MOST_LAYERS || level > 2 * MOST_LEVELS) return false;
    if (value === null || typeof value !== 'object') continue;
    for (const inner of Object.values(value)) {
      if (typeof inner === 'object') waiting.push({ value: inner, level: level + 1 });
    }
  }
  return true;
}

/** The layers of a network. */
export const layersSchema = z
  .unknown()
  .refine(isBounded, { abort: true, error: `expected at most ${MOST_LAYERS} layers, at most ${MOST_LEVELS} deep` })
  .pipe(z.array(layerSchema).min(1).max(500));
