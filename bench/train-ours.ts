/** @file fedrad's side of side-by-side.ts: `node train-ours.ts work.json`, then commands on stdin. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { initialParameters, type Network, openEngine, sgd } from '../src/engine/index.ts';

const work = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as {
  network: Network;
  batch: number;
  threads: number;
  images: string;
};
const { network, batch, threads } = work;
const images = new Uint8Array(readFileSync(work.images));
const labels = Uint8Array.from({ length: batch }, (_, i) => i % 2);
const engine = await openEngine(network, { threads, batchSize: batch });
engine.load(initialParameters(network, 1));

let step = 0;
const WORK: Readonly<Record<string, () => void>> = {
  train: () => void engine.step({ images, labels }, { learningRate: 0.01, optimiser: sgd(), dropoutKey: [1, step++] }),
  evaluate: () => void engine.probabilities(images),
};
for await (const line of createInterface({ input: process.stdin })) {
  const [command, count] = line.split(' ');
  const seconds = Array.from({ length: Number(count) }, () => {
    const start = performance.now();
    WORK[command!]!();
    return (performance.now() - start) / 1000;
  });
  console.log(JSON.stringify({ seconds, peakMiB: process.resourceUsage().maxRSS / 1024, name: 'fedrad' }));
}
await engine.close();
