/** @file group_norm and batch_norm2d (kernels/src/norm.ts): statistics by channel, then an affine map; the gradient likewise. */
import type { Node, NodeLayer } from '../graph.ts';
import { type Builder, type Into, imageAt, type Op, once, perImage, type Stage } from '../stage.ts';

type Of<Name> = Node<Extract<NodeLayer, { op: Name }>>;

/** Arrays of one float a channel, one after another. */
function arrays<Name extends string>(builder: Builder, C: number, copies: number, names: readonly Name[]) {
  const bytes = names.length * C * 4;
  const at = builder.take(bytes * copies);
  return (image: number): Record<Name, number> =>
    Object.fromEntries(names.map((name, i) => [name, at + image * bytes + i * C * 4])) as Record<Name, number>;
}

export function buildGroupNorm(
  builder: Builder,
  { layer, inputs, output }: Of<'group_norm'>,
  into: Into | undefined,
): Op {
  const [x, y, dy] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const [weight, bias] = [builder.parameter(`${layer.name}.weight`), builder.parameter(`${layer.name}.bias`)];
  const { channels: C, height: H, width: W } = x.shape;
  const stored = x.stored;
  const count = (H * W * C) / layer.num_groups;
  const of = arrays(builder, stored, builder.batchSize, [
    ...(['sums', 'moments', 'mean', 'variance', 'deviation', 'scale', 'shift', 'p', 'q', 'r', 'dw', 'db'] as const),
  ]);
  const forward = perImage((kernels, _job, image) => {
    const at = imageAt(x, image);
    const { sums, mean, variance, deviation, scale, shift } = of(image);
    kernels.channelSums(at, x.row, H, W, stored, sums);
    kernels.groupMeans(sums, C, layer.num_groups, count, mean);
    kernels.channelSquares(at, x.row, H, W, stored, mean, sums);
    kernels.groupMeans(sums, C, layer.num_groups, count, variance);
    kernels.normCoefficients(mean, variance, weight.at, bias.at, layer.eps, C, deviation, scale, shift);
    kernels.channelAffine(at, x.row, imageAt(y, image), y.row, H, W, stored, scale, shift);
  });
  const backward = perImage((kernels, _job, image) => {
    const { sums, mean, deviation, p, q, r, dw, db } = of(image);
    const [from, source] = [imageAt(dy, image), imageAt(x, image)];
    kernels.channelGradientSums(from, dy.row, source, x.row, H, W, stored, mean, sums);
    kernels.normGradientCoefficients(
      ...([sums, stored * 4, mean, deviation, weight.at, C, layer.num_groups, count, p, q, r, dw, db] as const),
    );
    if (!into) return;
    const { to: dx, add } = into;
    kernels.channelGradient(
      ...([from, dy.row, source, x.row, imageAt(dx, image), dx.row, H, W, stored, p, q, r, add] as const),
    );
  });
  const sum = once((kernels, { images }) => {
    const [first, second] = [of(0), of(1)];
    const stride = second.dw - first.dw;
    kernels.sumImages(first.dw, stride, images, weight.gradient, stored);
    kernels.sumImages(first.db, stride, images, bias.gradient, stored);
  });
  return { pack: [], forward: [forward], backward: [backward, sum], update: [] };
}

export function buildBatchNorm(
  builder: Builder,
  { layer, inputs, output }: Of<'batch_norm2d'>,
  into: Into | undefined,
): Op {
  const [x, y, dy] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const [weight, bias] = [builder.parameter(`${layer.name}.weight`), builder.parameter(`${layer.name}.bias`)];
  const running = {
    mean: builder.parameter(`${layer.name}.running_mean`).at,
    variance: builder.parameter(`${layer.name}.running_var`).at,
  };
  const { channels: C, height: H, width: W } = x.shape;
  const stored = x.stored;
  const parts = arrays(builder, stored, builder.batchSize, ['sums', 'moments'] as const);
  const stride = 2 * stored * 4;
  const { sums, mean, variance, deviation, scale, shift, p, q, r } = arrays(builder, stored, 1, [
    ...(['sums', 'moments', 'mean', 'variance', 'deviation', 'scale', 'shift', 'p', 'q', 'r'] as const),
  ])(0);

  const forward = [
    whenTraining((kernels, _job, image) =>
      kernels.channelSums(imageAt(x, image), x.row, H, W, stored, parts(image).sums),
    ),
    once((kernels, { images, training }) => {
      if (!training) return;
      kernels.sumImages(parts(0).sums, stride, images, sums, stored);
      kernels.groupMeans(sums, C, C, images * H * W, mean);
    }),
    whenTraining((kernels, _job, image) =>
      kernels.channelSquares(imageAt(x, image), x.row, H, W, stored, mean, parts(image).sums),
    ),
    once((kernels, { images, training }) => {
      const [mu, sigma2] = training ? [mean, variance] : [running.mean, running.variance];
      if (training) {
        const count = images * H * W;
        kernels.sumImages(parts(0).sums, stride, images, sums, stored);
        kernels.groupMeans(sums, C, C, count, variance);
        kernels.blend(running.mean, mean, layer.momentum, 1, C);
        // The running variance is the unbiased one.
        kernels.blend(running.variance, variance, layer.momentum, count / Math.max(1, count - 1), C);
      }
      kernels.normCoefficients(mu, sigma2, weight.at, bias.at, layer.eps, C, deviation, scale, shift);
    }),
    perImage((kernels, _job, image) =>
      kernels.channelAffine(imageAt(x, image), x.row, imageAt(y, image), y.row, H, W, stored, scale, shift),
    ),
  ];
  const backward = [
    perImage((kernels, _job, image) =>
      kernels.channelGradientSums(
        ...([imageAt(dy, image), dy.row, imageAt(x, image), x.row, H, W, stored, mean, parts(image).sums] as const),
      ),
    ),
    once((kernels, { images }) => {
      kernels.sumImages(parts(0).sums, stride, images, sums, 2 * stored);
      kernels.normGradientCoefficients(
        ...([sums, stored * 4, mean, deviation, weight.at, C, C, images * H * W] as const),
        ...([p, q, r, weight.gradient, bias.gradient] as const),
      );
    }),
    ...(into
      ? [
          perImage((kernels, _job, image) => {
            const { to: dx, add } = into;
            kernels.channelGradient(
              ...([imageAt(dy, image), dy.row, imageAt(x, image), x.row, imageAt(dx, image), dx.row] as const),
              ...([H, W, stored, p, q, r, add] as const),
            );
          }),
        ]
      : []),
  ];
  return { pack: [], forward, backward, update: [] };
}

/** An item for each image of a training step, none in evaluation. */
const whenTraining = (run: Stage['run']): Stage => ({ items: ({ images, training }) => (training ? images : 0), run });
