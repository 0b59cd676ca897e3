/** @file relu, gelu, dropout and add: functions of single values (kernels/src/elementwise.ts). */
import type { Node, NodeLayer } from '../graph.ts';
import { type Builder, type Into, imageAt, type Op, perImage, rowFloats, rowsOf } from '../stage.ts';

type Of<Name> = Node<Extract<NodeLayer, { op: Name }>>;

export function buildRelu(builder: Builder, { inputs, output }: Of<'relu'>, into: Into | undefined): Op {
  const [x, y, dy] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const { rows, count } = rowsOf(x, y);
  const forward = perImage((kernels, _job, image) =>
    kernels.relu(imageAt(x, image), x.row, imageAt(y, image), y.row, rows, count),
  );
  if (!into) return { pack: [], forward: [forward], backward: [], update: [] };
  const { to: dx, add } = into;
  const back = rowsOf(y, dy, dx);
  const backward = perImage((kernels, _job, image) =>
    kernels.reluGradient(
      ...([imageAt(y, image), y.row, imageAt(dy, image), dy.row, imageAt(dx, image), dx.row] as const),
      ...([back.rows, back.count, add] as const),
    ),
  );
  return { pack: [], forward: [forward], backward: [backward], update: [] };
}

export function buildGelu(builder: Builder, { inputs, output }: Of<'gelu'>, into: Into | undefined): Op {
  const [x, y, dy] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const { rows, count } = rowsOf(x, y);
  const forward = perImage((kernels, _job, image) =>
    kernels.gelu(imageAt(x, image), x.row, imageAt(y, image), y.row, rows, count),
  );
  if (!into) return { pack: [], forward: [forward], backward: [], update: [] };
  const { to: dx, add } = into;
  const back = rowsOf(x, dy, dx);
  const backward = perImage((kernels, _job, image) =>
    kernels.geluGradient(
      ...([imageAt(x, image), x.row, imageAt(dy, image), dy.row, imageAt(dx, image), dx.row] as const),
      ...([back.rows, back.count, add] as const),
    ),
  );
  return { pack: [], forward: [forward], backward: [backward], update: [] };
}

/** Dropout decides by 16 random bits: those below the threshold are dropped. */
export const dropoutThreshold = (probability: number): number => Math.round(probability * 65536);

export const dropoutScale = (probability: number): number => 1 / (1 - dropoutThreshold(probability) / 65536);

/** The mask is drawn anew in the backward pass, where it is applied to the gradient. `layer` keys it: the node's index. */
export function buildDropout(
  builder: Builder,
  { layer, inputs, output }: Of<'dropout'>,
  index: number,
  into: Into | undefined,
): Op {
  const [x, y, dy] = [builder.tensor(inputs[0]!), builder.tensor(output), builder.gradient(output)];
  const inPlace = builder.inPlace(inputs[0]!, output);
  const [threshold, scale] = [dropoutThreshold(layer.p), dropoutScale(layer.p)];
  const { height } = y.shape;
  const { rows, count } = rowsOf(x, y);
  const forward = perImage((kernels, { dropoutKey }, image) => {
    if (!inPlace) kernels.copyRows(imageAt(x, image), x.row, imageAt(y, image), y.row, rows, count, 0);
    if (!dropoutKey) return;
    const [key0, key1] = dropoutKey;
    kernels.dropout(imageAt(y, image), y.row, height, rowFloats(y), key0, key1, image, index, threshold, scale);
  });
  const back = into && rowsOf(dy, into.to);
  const backward = perImage((kernels, { dropoutKey }, image) => {
    if (dropoutKey) {
      const [key0, key1] = dropoutKey;
      kernels.dropout(imageAt(dy, image), dy.row, height, rowFloats(dy), key0, key1, image, index, threshold, scale);
    }
    if (inPlace || !into || !back) return;
    const { to: dx, add } = into;
    kernels.copyRows(imageAt(dy, image), dy.row, imageAt(dx, image), dx.row, back.rows, back.count, add);
  });
  return { pack: [], forward: [forward], backward: into ? [backward] : [], update: [] };
}

export function buildAdd(builder: Builder, { inputs, output }: Of<'add'>, into: readonly (Into | undefined)[]): Op {
  const [a, b] = [builder.tensor(inputs[0]!), builder.tensor(inputs[1]!)];
  const [y, dy] = [builder.tensor(output), builder.gradient(output)];
  const { rows, count } = rowsOf(a, b, y);
  const forward = perImage((kernels, _job, image) =>
    kernels.addRows(
      ...([imageAt(a, image), a.row, imageAt(b, image), b.row, imageAt(y, image), y.row, rows, count] as const),
    ),
  );
  const backward = into.flatMap((target) => {
    if (!target) return [];
    const { to: dx, add } = target;
    const back = rowsOf(dy, dx);
    return perImage((kernels, _job, image) =>
      kernels.copyRows(imageAt(dy, image), dy.row, imageAt(dx, image), dx.row, back.rows, back.count, add),
    );
  });
  return { pack: [], forward: [forward], backward, update: [] };
}
