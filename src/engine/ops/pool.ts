/** @file max_pool2d, avg_pool2d and global_avg_pool (kernels/src/pool.ts). */
import type { Node, NodeLayer } from '../graph.ts';
import { type Builder, type Into, imageAt, type Op, type Placed, perImage, type Stage } from '../stage.ts';

type Of<Name> = Node<Extract<NodeLayer, { op: Name }>>;

export function buildMaxPool(
  builder: Builder,
  { layer, inputs, output }: Of<'max_pool2d'>,
  into: Into | undefined,
): Op {
  const [x, y, dy] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const [kh, kw] = layer.kernel_size;
  const [sh, sw] = layer.stride ?? layer.kernel_size;
  const [ph, pw] = layer.padding;
  const { height: OH, width: OW } = y.shape;
  const argBytes = OH * OW * y.stored;
  const arg = builder.take(argBytes * builder.batchSize);
  const forward = perImage((kernels, _job, image) =>
    kernels.maxPool(
      ...([
        imageAt(x, image),
        x.row,
        x.shape.height,
        x.shape.width,
        x.stored,
        imageAt(y, image),
        y.row,
        OH,
        OW,
      ] as const),
      ...([arg + image * argBytes, kh, kw, sh, sw, ph, pw] as const),
    ),
  );
  const backward = scatter(into, (kernels, image, dx) =>
    kernels.maxPoolGradient(
      ...([imageAt(dy, image), dy.row, OH, OW, y.stored, arg + image * argBytes, imageAt(dx, image), dx.row] as const),
      ...([kw, sh, sw, ph, pw] as const),
    ),
  );
  return { pack: [], forward: [forward], backward, update: [] };
}

export function buildAveragePool(
  builder: Builder,
  { layer, inputs, output }: Of<'avg_pool2d' | 'global_avg_pool'>,
  into: Into | undefined,
): Op {
  const [x, y, dy] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const { height: H, width: W } = x.shape;
  const { height: OH, width: OW } = y.shape;
  const all = layer.op === 'global_avg_pool';
  const [kh, kw] = all ? [H, W] : layer.kernel_size;
  const [sh, sw] = all ? [H, W] : (layer.stride ?? layer.kernel_size);
  const [ph, pw] = all ? [0, 0] : layer.padding;
  const window = [1 / (kh * kw), kh, kw, sh, sw, ph, pw] as const;
  const forward = perImage((kernels, _job, image) =>
    kernels.averagePool(
      ...([imageAt(x, image), x.row, H, W, x.stored, imageAt(y, image), y.row, OH, OW] as const),
      ...window,
    ),
  );
  const backward = scatter(into, (kernels, image, dx) =>
    kernels.averagePoolGradient(
      ...([imageAt(dy, image), dy.row, OH, OW, y.stored, imageAt(dx, image), dx.row, H, W] as const),
      ...window,
    ),
  );
  return { pack: [], forward: [forward], backward, update: [] };
}

/** A gradient that adds to where it goes: cleared first unless something is there already. */
function scatter(
  into: Into | undefined,
  run: (kernels: Parameters<Stage['run']>[0], image: number, dx: Placed) => void,
): Stage[] {
  if (!into) return [];
  const { to: dx, add } = into;
  return [
    perImage((kernels, _job, image) => {
      if (!add) kernels.clearRows(imageAt(dx, image), dx.row, dx.shape.height, dx.shape.width * dx.stored);
      run(kernels, image, dx);
    }),
  ];
}
