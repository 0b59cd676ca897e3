/** @file The products of a 3x3 convolution that keeps the size, forward and for its input's gradient, by Winograd (kernels/src/winograd.ts). */
import type { Conv2d } from '../layers.ts';
import { type Builder, type Into, imageAt, type Placed, perImage, type Stage } from '../stage.ts';

/** Channels whose weights are transformed as one work item; a multiple of 8. */
const BLOCK = 8;
/** With fewer tiles of 2x2 than this an image does not pay for the 16/9 times larger weights. */
const LEAST_TILES = 12;

interface Product {
  readonly pack: readonly Stage[];
  readonly stage: Stage;
}

/** Whether x, or as a gradient g, can be convolved this way. */
export function fitsWinograd({ kernel_size, stride, padding, groups }: Conv2d, x: Placed, outputs: number): boolean {
  const { channels, height, width } = x.shape;
  return (
    `${kernel_size} ${stride} ${padding} ${groups}` === '3,3 1,1 1,1 1' &&
    x.stored % 4 === 0 &&
    channels === x.stored &&
    outputs % 8 === 0 &&
    Math.ceil(height / 2) * Math.ceil(width / 2) >= LEAST_TILES
  );
}

/** y = x convolved with the weights at `weight`, [outputs][3][3][inputs]. */
export function winogradForward(builder: Builder, x: Placed, y: Placed, weight: number, bias: number): Product {
  const [inputs, outputs] = [x.stored, y.stored];
  const u = builder.take(16 * inputs * outputs * 4);
  return { pack: [transformed(weight, u, inputs, outputs)], stage: product(builder, x, { to: y, add: 0 }, u, bias) };
}

/** dx (+)= g convolved with the turned weights. */
export function winogradInputGradient(builder: Builder, g: Placed, into: Into, weight: number): Product {
  const [inputs, outputs] = [into.to.stored, g.stored];
  const turned = builder.take(9 * inputs * outputs * 4);
  const u = builder.take(16 * inputs * outputs * 4);
  const turn = blocks(inputs, (kernels, from, to) => kernels.turnWeights(weight, turned, inputs, outputs, from, to));
  return { pack: [turn, transformed(turned, u, outputs, inputs)], stage: product(builder, g, into, u, 0) };
}

const blocks = (
  count: number,
  run: (kernels: Parameters<Stage['run']>[0], from: number, to: number) => void,
): Stage => ({
  items: () => Math.ceil(count / BLOCK),
  run: (kernels, _job, item) => run(kernels, item * BLOCK, Math.min(count, (item + 1) * BLOCK)),
});

const transformed = (weight: number, u: number, inputs: number, outputs: number): Stage =>
  blocks(outputs, (kernels, from, to) => kernels.winogradWeights(weight, u, inputs, from, to));

function product(builder: Builder, x: Placed, { to: y, add }: Into, u: number, bias: number): Stage {
  // 24 tiles of 16 elements by channel, and sums of 6 tiles for 8 outputs.
  const scratch = Array.from({ length: builder.threads }, () => builder.take((24 * 16 * x.stored + 6 * 16 * 8) * 4));
  const { height, width } = y.shape;
  return perImage((kernels, _job, image, thread) =>
    kernels.winogradConv(
      ...([imageAt(x, image), x.row, u, bias, imageAt(y, image), y.row, height, width] as const),
      ...([x.stored, y.stored, scratch[thread]!, add] as const),
    ),
  );
}
