/**
 * @file What a training step costs as threads, image size, batch size and network grow: images/s and peak memory of fedrad alone; bench/train.ts has the peer. One
 * thing changes at a time, from the Azure ML example's network at 224x224, batch 32, 2 threads.
 */
import { availableParallelism } from 'node:os';
import { elementCount } from '../src/base/index.ts';
import { NETWORKS, type Network, parameterShapes } from '../src/engine/index.ts';
import { RECIPES } from './recipes.ts';
import type { Bench } from './result.ts';
import { sideBySide } from './side-by-side.ts';

const recommended = RECIPES.find(({ name }) => name.endsWith(': recommended'))!.network;

interface Condition {
  readonly title: string;
  readonly network: Network;
  readonly batch: number;
  readonly threads: number;
}

function conditions(tiny: boolean): Condition[] {
  const [size, batch, threads] = tiny ? [32, 4, 2] : [224, 32, 2];
  const base = { network: NETWORKS.pneumonia({ imageSize: size }), batch, threads };
  const cores = availableParallelism();
  const powers = Array.from({ length: tiny ? 1 : Math.floor(Math.log2(cores)) + 1 }, (_, i) => 2 ** i);
  const sizes = tiny ? [24] : [64, 112, 224, 320, 448];
  const batches = tiny ? [3] : [1, 8, 32, 128];
  const names = tiny ? (['small'] as const) : (['small', 'pneumonia', 'resnet18'] as const);
  return [
    ...powers.map((count) => ({ ...base, title: `${count} thread${count > 1 ? 's' : ''}`, threads: count })),
    ...sizes.map((imageSize) => ({
      ...base,
      title: `${imageSize}x${imageSize}`,
      network: NETWORKS.pneumonia({ imageSize }),
    })),
    ...batches.map((count) => ({ ...base, title: `batch ${count}`, batch: count })),
    ...names.map((name) => {
      const network = NETWORKS[name]({ imageSize: size });
      return { ...base, title: `${name}, ${megabytes(network)} MB`, network };
    }),
    // 30 epochs of it are to be compared with 10 of the example's network.
    ...(tiny
      ? []
      : [
          {
            ...base,
            title: `the recommended recipe's network, ${recommended.imageSize}x${recommended.imageSize}`,
            network: recommended,
          },
        ]),
  ];
}

/** Of the parameters. */
const megabytes = (network: Network): string =>
  ([...parameterShapes(network).values()].reduce((sum, shape) => sum + elementCount(shape), 0) / 250_000).toPrecision(
    3,
  );

export const benchCost: Bench = async function* ({ tiny }) {
  const peer = { peer: undefined, peerName: 'PyTorch channels_last' };
  for (const { title, ...condition } of conditions(tiny)) {
    const [ours] = await sideBySide({ ...condition, turns: tiny ? 1 : 3, steps: 1 }, ['train'], false);
    yield { case: title, ours: ours!.rates['train']!, ...peer, unit: 'images/s' };
    yield { case: `${title}, peak memory`, ours: ours!.peakMiB, ...peer, unit: 'MiB' };
  }
};
