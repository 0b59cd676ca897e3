/** @file Where the inputs of a convolution's outputs lie, and the outputs of its inputs, as offsets for the kernels. */
import type { Shape } from '../graph.ts';
import type { Conv2d } from '../layers.ts';
import type { Placed } from '../stage.ts';

export interface Taps {
  /** (byte offset, run of floats) for each tap. */
  readonly table: readonly number[];
  /** Sum of the runs. */
  readonly depth: number;
}

/** Taps of a window over x, `run` floats a position; `joined`: the positions of a row lie together and are one tap. */
export function windowTaps({ kernel_size: [kh, kw] }: Conv2d, x: Placed, run: number, joined: boolean): Taps {
  const table: number[] = [];
  for (let ky = 0; ky < kh; ky++) {
    if (joined) table.push(ky * x.row, kw * run);
    else for (let kx = 0; kx < kw; kx++) table.push(ky * x.row + kx * x.pixel, run);
  }
  return { table, depth: kh * kw * run };
}

/** The inputs at rows y, y + stride.. and columns x, x + stride..: which outputs they reach, and by which positions of the window. */
export interface Phase {
  readonly y: number;
  readonly x: number;
  readonly rows: number;
  readonly cols: number;
  /** Address in image 0 of the gradient that the first of them reads, and what to add to it for each tap. */
  readonly source: number;
  readonly offsets: readonly number[];
  /** The position of each tap in the window, row-major. */
  readonly indices: readonly number[];
}

/** Along one axis: for each tap its position in the window and the output that input `first` reaches by it, first = its phase. */
function axisTaps(first: number, kernel: number, stride: number, padding: number): { at: number; output: number }[] {
  return Array.from({ length: kernel }, (_, at) => ({ at, output: (first + padding - at) / stride })).filter(
    ({ output }) => Number.isInteger(output),
  );
}

/** All phases of a convolution's input of this shape; g is the gradient of its output. */
export function inputPhases({ kernel_size, stride, padding }: Conv2d, { height, width }: Shape, g: Placed): Phase[] {
  const phases: Phase[] = [];
  for (let y = 0; y < Math.min(stride[0], height); y++) {
    const vertical = axisTaps(y, kernel_size[0], stride[0], padding[0]);
    for (let x = 0; x < Math.min(stride[1], width); x++) {
      const horizontal = axisTaps(x, kernel_size[1], stride[1], padding[1]);
      const taps = vertical.flatMap((v) =>
        horizontal.map((h) => ({ index: v.at * kernel_size[1] + h.at, offset: v.output * g.row + h.output * g.pixel })),
      );
      const least = Math.min(0, ...taps.map(({ offset }) => offset));
      phases.push({
        y,
        x,
        rows: Math.ceil((height - y) / stride[0]),
        cols: Math.ceil((width - x) / stride[1]),
        source: g.data + least,
        offsets: taps.map(({ offset }) => offset - least),
        indices: taps.map(({ index }) => index),
      });
    }
  }
  return phases;
}

/** Zeros that the gradient of a convolution's output needs around it, height and width. */
export function gradientBorder(
  { kernel_size, stride, padding }: Conv2d,
  input: Shape,
  output: Shape,
): [number, number] {
  const axis = (size: number, outputs: number, k: number, s: number, p: number): number => {
    const before = Math.floor((k - 1 - p) / s);
    const after = Math.floor((size - 1 + p) / s) - (outputs - 1);
    return Math.max(0, before, after);
  };
  return [
    axis(input.height, output.height, kernel_size[0], stride[0], padding[0]),
    axis(input.width, output.width, kernel_size[1], stride[1], padding[1]),
  ];
}
