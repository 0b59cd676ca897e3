/** @file Windows that slide over one channel: what a convolution or a pool reads for each of its outputs. */
import type { Shape } from '../graph.ts';

export interface Windows {
  readonly kernel_size: readonly [number, number];
  /** Default: the kernel's size. */
  readonly stride?: readonly [number, number] | undefined;
  readonly padding: readonly [number, number];
}

/** One position of one window that lies within the image: indices within a channel of the output and of the input. */
export interface Tap {
  readonly out: number;
  readonly from: number;
  /** Position in the window, row-major. */
  readonly tap: number;
}

/** Height and width of the output, and all taps: by output, then in row-major order of the window. */
export function windowed(
  { kernel_size: kernel, stride = kernel, padding }: Windows,
  input: Shape,
): { readonly height: number; readonly width: number; readonly taps: readonly Tap[] } {
  const height = Math.floor((input.height + 2 * padding[0] - kernel[0]) / stride[0]) + 1;
  const width = Math.floor((input.width + 2 * padding[1] - kernel[1]) / stride[1]) + 1;
  const taps: Tap[] = [];
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++)
      for (let u = 0; u < kernel[0]; u++)
        for (let v = 0; v < kernel[1]; v++) {
          const y = i * stride[0] - padding[0] + u;
          const x = j * stride[1] - padding[1] + v;
          if (y < 0 || y >= input.height || x < 0 || x >= input.width) continue;
          taps.push({ out: i * width + j, from: y * input.width + x, tap: u * kernel[1] + v });
        }
  return { height, width, taps };
}
