/** @file conv2d with as many groups as channels and one output each (kernels/src/depthwise.ts). */
import type { Node } from '../graph.ts';
import type { Conv2d } from '../layers.ts';
import { type Builder, type Into, imageAt, type Op, perImage, type Stage } from '../stage.ts';
import { inputPhases, windowTaps } from './taps.ts';

/** Channels whose weight gradients are one work item. */
const BLOCK = 16;

export const isDepthwise = ({ groups, out_channels: outputs }: Conv2d, inputs: number): boolean =>
  groups === inputs && outputs === inputs && inputs > 1;

export function buildDepthwise(builder: Builder, { layer, inputs, output }: Node<Conv2d>, into: Into | undefined): Op {
  const [x, y, g] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const C = x.stored;
  const offsets = windowTaps(layer, x, 1, false).table.filter((_, i) => i % 2 === 0);
  const taps = builder.constants(offsets);
  const weight = builder.parameter(`${layer.name}.weight`);
  const bias = layer.bias ? builder.parameter(`${layer.name}.bias`) : undefined;
  const [sh, sw] = layer.stride;
  const first = x.data - layer.padding[0] * x.row - layer.padding[1] * x.pixel;
  const { height, width } = y.shape;

  const forward = perImage((kernels, _job, image) =>
    kernels.depthwise(
      ...([first + image * x.image, x.row * sh, x.pixel * sw, taps, offsets.length, weight.at, bias?.at ?? 0] as const),
      ...([imageAt(y, image), y.row, y.pixel, height, width, C, 0] as const),
    ),
  );
  const weightGradient: Stage = {
    items: () => Math.ceil(C / BLOCK),
    run: (kernels, job, item) =>
      kernels.depthwiseWeightGradient(
        ...([first, x.image, x.row * sh, x.pixel * sw, taps, offsets.length] as const),
        ...([g.data, g.image, g.row, g.pixel, weight.gradient, bias?.gradient ?? 0] as const),
        ...([job.images, height, width, C, item * BLOCK, Math.min(C, (item + 1) * BLOCK)] as const),
      ),
  };
  if (!into) return { pack: [], forward: [forward], backward: [weightGradient], update: [] };

  const { to: dx, add } = into;
  const phases = inputPhases(layer, x.shape, g).map((phase) => ({
    ...phase,
    taps: builder.constants(phase.offsets),
    weights: builder.take(phase.indices.length * C * 4),
  }));
  // The weights of each phase, one after another.
  const pack: Stage = {
    items: () => phases.length,
    run: (kernels, _job, item) => {
      const { indices, weights } = phases[item]!;
      for (const [i, index] of indices.entries())
        kernels.copyRows(weight.at + index * C * 4, 0, weights + i * C * 4, 0, 1, C, 0);
    },
  };
  const inputGradient = perImage((kernels, _job, image) => {
    for (const phase of phases) {
      kernels.depthwise(
        ...([
          phase.source + image * g.image,
          g.row,
          g.pixel,
          phase.taps,
          phase.indices.length,
          phase.weights,
          0,
        ] as const),
        ...([imageAt(dx, image) + phase.y * dx.row + phase.x * dx.pixel, dx.row * sh, dx.pixel * sw] as const),
        ...([phase.rows, phase.cols, C, add] as const),
      );
    }
  });
  return { pack: [pack], forward: [forward], backward: [weightGradient, inputGradient], update: [] };
}
