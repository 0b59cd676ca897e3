/** @file conv2d of any kernel, stride, padding and groups (kernels/src/conv.ts). */
import type { Node, Shape } from '../graph.ts';
import type { Conv2d } from '../layers.ts';
import { type Builder, type Into, imageAt, type Op, type Placed, type Stage } from '../stage.ts';
import { inputPhases, type Phase, type Taps, windowTaps } from './taps.ts';
import { fitsWinograd, winogradForward, winogradInputGradient } from './winograd.ts';

/** Outputs whose weight gradients are one work item. */
const gradientBlock = (outputs: number): number => (outputs >= 64 ? 16 : outputs >= 32 ? 8 : 4);
/** Outputs or inputs whose weights are packed as one work item. */
const PACK_BLOCK = 32;
/** A batch with fewer images is also split by outputs. */
const FEW_IMAGES = 8;

export function buildConv(builder: Builder, node: Node<Conv2d>, into: Into | undefined): Op {
  const { layer } = node;
  const [x, y, g] = [builder.tensor(node.inputs[0]!), builder.tensor(node.output), builder.gradient(node.output)];
  const { groups } = layer;
  const [inputs, outputs] = [x.shape.channels / groups, layer.out_channels / groups];
  const taps = windowTaps(layer, x, groups === 1 ? x.stored : inputs, groups === 1);
  const tapsAt = builder.constants(taps.table);
  const { depth } = taps;
  const weight = builder.parameter(`${layer.name}.weight`);
  const bias = layer.bias ? builder.parameter(`${layer.name}.bias`) : undefined;
  const [sh, sw] = layer.stride;
  const first = x.data - layer.padding[0] * x.row - layer.padding[1] * x.pixel;
  const { height, width } = y.shape;
  const forward = fitsWinograd(layer, x, outputs)
    ? winogradForward(builder, x, y, weight.at, bias?.at ?? 0)
    : directForward(builder, layer, x, y, taps, tapsAt, { weight: weight.at, bias: bias?.at });

  const block = gradientBlock(outputs);
  const weightGradient: Stage = {
    items: () => groups * Math.ceil(outputs / block),
    run: (kernels, job, item) => {
      const [group, from] = [item % groups, Math.floor(item / groups) * block];
      kernels.convWeightGradient(
        first + group * inputs * 4,
        x.image,
        x.row * sh,
        x.pixel * sw,
        tapsAt,
        taps.table.length / 2,
        depth,
        g.data + group * outputs * 4,
        g.image,
        g.row,
        g.pixel,
        weight.gradient + group * outputs * depth * 4,
        bias ? bias.gradient + group * outputs * 4 : 0,
        job.images,
        height,
        width,
        from,
        Math.min(outputs, from + block),
      );
    },
  };

  const input =
    into &&
    (fitsWinograd(layer, g, into.to.stored)
      ? winogradInputGradient(builder, g, into, weight.at)
      : inputGradient(builder, layer, x.shape, g, into, weight.at, groups === 1 ? x.stored : inputs));
  return {
    pack: [...forward.pack, ...(input?.pack ?? [])],
    forward: [forward.stage],
    backward: [weightGradient, ...(input ? [input.stage] : [])],
    update: [],
  };
}

interface Product {
  readonly pack: readonly Stage[];
  readonly stage: Stage;
}

function directForward(
  builder: Builder,
  layer: Conv2d,
  x: Placed,
  y: Placed,
  taps: Taps,
  tapsAt: number,
  parameter: { readonly weight: number; readonly bias: number | undefined },
): Product {
  const { groups, stride, padding } = layer;
  const [inputs, outputs] = [x.shape.channels / groups, layer.out_channels / groups];
  const { depth } = taps;
  const packedBytes = Math.ceil(outputs / 8) * depth * 32;
  const packed = builder.take(packedBytes * groups);
  const first = x.data - padding[0] * x.row - padding[1] * x.pixel;
  const blocks = Math.ceil(outputs / 8);
  const pack: Stage = {
    items: () => groups * Math.ceil(outputs / PACK_BLOCK),
    run: (kernels, _job, item) => {
      const [group, from] = [item % groups, Math.floor(item / groups) * PACK_BLOCK];
      const to = Math.min(outputs, from + PACK_BLOCK);
      kernels.packConv(parameter.weight + group * outputs * depth * 4, packed + group * packedBytes, depth, from, to);
    },
  };
  const splits = ({ images }: { images: number }): number => (images < FEW_IMAGES ? Math.min(4, blocks) : 1);
  const stage: Stage = {
    items: (job) => job.images * splits(job),
    run: (kernels, job, item) => {
      const image = item % job.images;
      const [from, to] = part(Math.floor(item / job.images), splits(job), blocks);
      for (let group = 0; group < groups; group++) {
        const bias = parameter.bias === undefined ? 0 : parameter.bias + group * outputs * 4;
        kernels.conv(
          ...([first + image * x.image + group * inputs * 4, x.row * stride[0], x.pixel * stride[1]] as const),
          ...([tapsAt, taps.table.length / 2, depth, packed + group * packedBytes, bias] as const),
          ...([imageAt(y, image) + group * outputs * 4, y.row, y.pixel, y.shape.height, y.shape.width] as const),
          ...([from * 8, Math.min(outputs, to * 8), outputs, 0] as const),
        );
      }
    },
  };
  return { pack: [pack], stage };
}

/** The share of `count` blocks that is part `index` of `parts`. */
const part = (index: number, parts: number, count: number): readonly [number, number] => [
  Math.floor((index * count) / parts),
  Math.floor(((index + 1) * count) / parts),
];

/** The gradient of the input: for each phase of the stride a convolution of the output's gradient. */
function inputGradient(
  builder: Builder,
  layer: Conv2d,
  shape: Shape,
  g: Placed,
  { to: dx, add }: Into,
  weight: number,
  run: number,
): Product {
  const { groups } = layer;
  const [inputs, outputs] = [shape.channels / groups, layer.out_channels / groups];
  const window = layer.kernel_size[0] * layer.kernel_size[1];
  const [sh, sw] = layer.stride;
  const phases = inputPhases(layer, shape, g).map((phase: Phase) => {
    const bytes = Math.ceil(inputs / 8) * phase.indices.length * outputs * 32;
    return {
      ...phase,
      taps: builder.constants(phase.offsets.flatMap((offset) => [offset, outputs])),
      indexTable: builder.constants(phase.indices),
      depth: phase.indices.length * outputs,
      bytes,
      packed: builder.take(bytes * groups),
    };
  });
  const pack: Stage = {
    items: () => phases.length * groups * Math.ceil(inputs / PACK_BLOCK),
    run: (kernels, _job, item) => {
      const { packed, indexTable, indices, bytes } = phases[item % phases.length]!;
      const rest = Math.floor(item / phases.length);
      const [group, from] = [rest % groups, Math.floor(rest / groups) * PACK_BLOCK];
      kernels.packTransposed(
        weight + group * outputs * window * run * 4,
        packed + group * bytes,
        indexTable,
        indices.length,
        outputs,
        window,
        run,
        from,
        Math.min(inputs, from + PACK_BLOCK),
      );
    },
  };
  const stage: Stage = {
    items: ({ images }) => images,
    run: (kernels, _job, image) => {
      for (const { y, x, rows, cols, source, taps, indices, depth, packed, bytes } of phases) {
        for (let group = 0; group < groups; group++) {
          kernels.conv(
            source + image * g.image + group * outputs * 4,
            g.row,
            g.pixel,
            taps,
            indices.length,
            depth,
            packed + group * bytes,
            0,
            imageAt(dx, image) + y * dx.row + x * dx.pixel + group * inputs * 4,
            dx.row * sh,
            dx.pixel * sw,
            rows,
            cols,
            0,
            inputs,
            inputs,
            add,
          );
        }
      }
    },
  };
  return { pack: [pack], stage };
}
