/** @file What the oracle's operations share: a batch in double precision, and the form of an evaluated operation. */
import { elements, type Shape } from '../graph.ts';

/** [B, C, H, W], row-major, PyTorch's order; `shape` is that of one image. */
export interface Batch {
  readonly data: Float64Array;
  readonly images: number;
  readonly shape: Shape;
}

/** An operation's parameters, by their last name: weight, bias, running_mean, running_var. */
export type Values = Readonly<Record<string, Float64Array>>;

/** y = f(x; p), and how a gradient passes back through it. */
export interface Evaluated {
  readonly y: Batch;
  /** From dL/dy to dL/dx and dL/dp. */
  readonly backward: (gY: Float64Array) => { readonly gX: Float64Array; readonly gP?: Values };
  /** New running statistics, where the operation keeps some. */
  readonly buffers?: Values;
}

export function batchOf(images: number, shape: Shape, values?: Float64Array): Batch {
  return { data: values ?? new Float64Array(images * elements(shape)), images, shape };
}

/** Index of the first element of one channel of one image. */
export const plane = ({ shape: { channels, height, width } }: Batch, b: number, c: number): number =>
  (b * channels + c) * height * width;

/** Channel of each element. */
export const channelOf =
  ({ shape: { channels, height, width } }: Batch) =>
  (e: number): number =>
    Math.floor(e / (height * width)) % channels;

/** Sums of `values` by the set that each element is in, 0..count - 1. */
export function sumBy(values: Float64Array, count: number, setOf: (e: number) => number): Float64Array {
  const sums = new Float64Array(count);
  for (let e = 0; e < values.length; e++) sums[setOf(e)]! += values[e]!;
  return sums;
}

export const product = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, e) => value * b[e]!);
