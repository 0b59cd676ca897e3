/**
 * @file Where each parameter lies, and how: PyTorch's layouts at the border, the kernels' in memory.
 *
 * All parameters lie in one region; the velocity, and what else has one value for each parameter, lie in regions of the same form.
 * First come those of the fused blocks, then the others, last the big linear layer, whose gradient is never stored.
 */
import { elementCount } from '../base/index.ts';
import type { Shape } from './graph.ts';

/** How a parameter is laid out in memory; each names PyTorch's layout first. */
export type Layout =
  /** As it is. */
  | { readonly kind: 'vector' }
  /** [O, I, window] to [O, window, run], run >= I. */
  | { readonly kind: 'rows'; readonly window: number; readonly run: number }
  /** [C, 1, window] to [window, stored], stored >= C. */
  | { readonly kind: 'depthwise'; readonly window: number; readonly stored: number }
  /** [N, C, pixels] to [N/32, pixels, C, 32]. */
  | { readonly kind: 'dense'; readonly input: Shape };

export interface ParameterPlace {
  readonly name: string;
  readonly shape: readonly number[];
  readonly layout: Layout;
  /** Bytes from the start of memory; 0 where there is none: running statistics have no velocity. */
  readonly at: number;
  readonly velocity: number;
  readonly gradient: number;
}

/** Floats in memory. */
export function storedFloats(shape: readonly number[], layout: Layout): number {
  switch (layout.kind) {
    case 'vector':
      return Math.ceil(shape[0]! / 4) * 4;
    case 'rows':
      return Math.ceil((shape[0]! * layout.window * layout.run) / 4) * 4;
    case 'depthwise':
      return layout.window * layout.stored;
    case 'dense':
      return elementCount(shape);
  }
}

/** Copies between a PyTorch array and a kernel array, one way or the other. */
export type Direction = 'fromTorch' | 'toTorch';

export function convertParameter(
  torch: Float32Array,
  kernel: Float32Array,
  { shape, layout }: Pick<ParameterPlace, 'shape' | 'layout'>,
  direction: Direction,
): void {
  switch (layout.kind) {
    case 'vector':
      if (direction === 'fromTorch') kernel.set(torch);
      else torch.set(kernel.subarray(0, torch.length));
      break;
    case 'rows': {
      const { window, run } = layout;
      const [outputs, inputs] = [shape[0]!, torch.length / shape[0]! / window];
      move(torch, kernel, direction, [outputs, inputs, window], [window * run, 1, run]);
      break;
    }
    case 'depthwise':
      move(torch, kernel, direction, [shape[0]!, 1, layout.window], [1, 0, layout.stored]);
      break;
    case 'dense':
      convertDense(
        torch,
        kernel,
        shape[0]!,
        layout.input.height * layout.input.width,
        layout.input.channels,
        direction,
      );
  }
}

type Triple = readonly [number, number, number];

/** PyTorch's [a, b, c], row-major, at a, b, c times their strides. */
function move(
  torch: Float32Array,
  kernel: Float32Array,
  direction: Direction,
  [a, b, c]: Triple,
  [strideA, strideB, strideC]: Triple,
): void {
  let at = 0;
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      let place = i * strideA + j * strideB;
      for (let k = 0; k < c; k++, at++, place += strideC) {
        if (direction === 'fromTorch') kernel[place] = torch[at]!;
        else torch[at] = kernel[place]!;
      }
    }
  }
}

/** `pixels` is H * W of the features, `channels` their C. */
function convertDense(
  torch: Float32Array,
  kernel: Float32Array,
  hidden: number,
  pixels: number,
  channels: number,
  direction: Direction,
): void {
  const K = pixels * channels;
  // A cache line's worth of pixels at a time, because the 32 rows of a block are often a multiple of 4096 bytes apart.
  const tile = 8;
  for (let block = 0; block < hidden / 32; block++) {
    for (let channel = 0; channel < channels; channel++) {
      for (let first = 0; first < pixels; first += tile) {
        const last = Math.min(pixels, first + tile);
        for (let n = 0; n < 32; n++) {
          const row = (block * 32 + n) * K + channel * pixels;
          const column = (block * K + channel) * 32 + n;
          for (let pixel = first; pixel < last; pixel++) {
            if (direction === 'fromTorch') kernel[column + pixel * channels * 32] = torch[row + pixel]!;
            else torch[row + pixel] = kernel[column + pixel * channels * 32]!;
          }
        }
      }
    }
  }
}
