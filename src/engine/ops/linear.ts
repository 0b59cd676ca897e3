/** @file linear: the convolution kernels with the images of a batch in place of a row's columns. */
import type { Node } from '../graph.ts';
import type { Layer } from '../layers.ts';
import { type Builder, type Into, imageAt, type Op, perImage, rowFloats, rowsOf, type Stage } from '../stage.ts';

/** Outputs, or inputs in the backward pass, of one work item; a multiple of 8. */
const BLOCK = 64;

export type Linear = Extract<Layer, { op: 'linear' }>;

export function buildLinear(builder: Builder, { layer, inputs, output }: Node<Linear>, into: Into | undefined): Op {
  const [x, y, g] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const outputs = layer.out_features;
  const { rows, count } = rowsOf(x);
  const depth = rows * count;
  const taps = builder.constants(Array.from({ length: rows }, (_, row) => [row * x.row, count]).flat());
  const weight = builder.parameter(`${layer.name}.weight`);
  const bias = layer.bias ? builder.parameter(`${layer.name}.bias`) : undefined;
  const packed = builder.take(Math.ceil(outputs / 8) * depth * 32);
  const outputBlocks = blocksOf(outputs);

  const pack = outputBlocks((kernels, _job, from, to) => kernels.packConv(weight.at, packed, depth, from, to));
  const forward = outputBlocks((kernels, { images }, from, to) =>
    kernels.conv(
      ...([x.data, 0, x.image, taps, rows, depth, packed, bias?.at ?? 0] as const),
      ...([y.data, 0, y.image, 1, images, from, to, outputs, 0] as const),
    ),
  );
  const weightGradient = outputBlocks((kernels, { images }, from, to) =>
    kernels.convWeightGradient(
      ...([x.data, 0, 0, x.image, taps, rows, depth, g.data, 0, 0, g.image] as const),
      ...([weight.gradient, bias?.gradient ?? 0, 1, 1, images, from, to] as const),
    ),
  );
  if (!into) return { pack: [pack], forward: [forward], backward: [weightGradient], update: [] };

  const { to: dx, add } = into;
  const packedBackward = builder.take(Math.ceil(depth / 8) * outputs * 32);
  const [oneTap, index] = [builder.constants([0, outputs]), builder.constants([0])];
  const inputBlocks = blocksOf(depth);
  const packBackward = inputBlocks((kernels, _job, from, to) =>
    kernels.packTransposed(weight.at, packedBackward, index, 1, outputs, 1, depth, from, to),
  );
  // With a border its rows lie apart: the gradient is made in one piece and copied.
  const direct = rowsOf(dx).rows === 1;
  const target = direct ? dx.data : builder.take(builder.batchSize * depth * 4);
  const stride = direct ? dx.image : depth * 4;
  const inputGradient = inputBlocks((kernels, { images }, from, to) =>
    kernels.conv(
      ...([g.data, 0, g.image, oneTap, 1, outputs, packedBackward, 0] as const),
      ...([target, 0, stride, 1, images, from, to, depth, direct ? add : 0] as const),
    ),
  );
  const spread = perImage((kernels, _job, image) => {
    const width = rowFloats(dx);
    kernels.copyRows(target + image * stride, width * 4, imageAt(dx, image), dx.row, dx.shape.height, width, add);
  });
  return {
    pack: [pack, packBackward],
    forward: [forward],
    backward: [weightGradient, inputGradient, ...(direct ? [] : [spread])],
    update: [],
  };
}

/** Stages whose items are blocks of `count` outputs or inputs. */
const blocksOf =
  (count: number) =>
  (
    run: (kernels: Parameters<Stage['run']>[0], job: Parameters<Stage['run']>[1], from: number, to: number) => void,
  ): Stage => ({
    items: () => Math.ceil(count / BLOCK),
    run: (kernels, job, item) => run(kernels, job, item * BLOCK, Math.min(count, (item + 1) * BLOCK)),
  });
