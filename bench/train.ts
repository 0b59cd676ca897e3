/**
 * @file The training step and evaluation, beside PyTorch's (its fastest form here: channels_last): the same network, the
 * same radiograph-like images, the same number of threads, taking turns. Medians; peak memory is of the whole process.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRng } from '../src/base/index.ts';
import { type Contender, startContender } from './contender.ts';
import type { Bench } from './result.ts';

const PYTHON = '/usr/bin/python3';
const THREADS = 2;

interface Answer {
  /** Of each step or pass. */
  readonly seconds: readonly number[];
  readonly peakMiB: number;
  readonly name: string;
}

export const benchTrain: Bench = async function* ({ tiny, note }) {
  const [size, batch] = tiny ? [32, 4] : [224, 32];
  const [turns, steps] = tiny ? [1, 2] : [7, 3];
  const folder = mkdtempSync(join(tmpdir(), 'fedrad-bench-'));
  const contenders: Contender[] = [];
  try {
    const images = join(folder, 'images');
    writeFileSync(images, phantoms(batch, size));
    const args = [images, String(size), String(batch), String(THREADS)];
    const ours = startContender(process.execPath, [join(import.meta.dirname, 'train-ours.ts'), ...args]);
    contenders.push(ours);
    const hasTorch = spawnSync(PYTHON, ['-c', 'import torch']).status === 0;
    if (!hasTorch)
      note(
        'bench train: python3-torch is not installed, so only fedrad is measured (apt-get install python3-torch libopenblas0-pthread)',
      );
    const peer = hasTorch ? startContender(PYTHON, [join(import.meta.dirname, 'train_torch.py'), ...args]) : undefined;
    if (peer) contenders.push(peer);

    const conditions = `batch ${batch}, ${size}x${size}, ${THREADS} threads`;
    for (const command of ['train', 'evaluate']) {
      const [oursSeconds, peerSeconds]: [number[], number[]] = [[], []];
      let [oursLast, peerLast]: [Answer | undefined, Answer | undefined] = [undefined, undefined];
      // The first turn of each warms up.
      for (let turn = 0; turn <= turns; turn++) {
        oursLast = (await ours.ask(`${command} ${steps}`)) as Answer;
        peerLast = peer && ((await peer.ask(`${command} ${steps}`)) as Answer);
        if (turn === 0) continue;
        oursSeconds.push(...oursLast.seconds);
        peerSeconds.push(...(peerLast?.seconds ?? []));
      }
      const rate = (seconds: number[]): number => Number((batch / median(seconds)).toFixed(1));
      const peerName = peerLast?.name ?? 'PyTorch channels_last';
      yield {
        case: `${command}, ${conditions}`,
        ours: rate(oursSeconds),
        peer: peerLast && rate(peerSeconds),
        peerName,
        unit: 'images/s',
      };
      if (command === 'train') {
        const [mine, theirs] = [Math.round(oursLast!.peakMiB), peerLast && Math.round(peerLast.peakMiB)];
        yield { case: `peak memory, ${conditions}`, ours: mine, peer: theirs, peerName, unit: 'MiB' };
      }
    }
  } finally {
    for (const contender of contenders) contender.close();
    rmSync(folder, { recursive: true });
  }
};

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Grey images [count, size, size] like radiographs to a network: black corners, smooth bright shapes, fine noise. */
function phantoms(count: number, size: number): Uint8Array {
  const rng = openRng(1, 'bench');
  const images = new Uint8Array(count * size * size);
  for (let image = 0; image < count; image++) {
    const shapes = Array.from({ length: 12 }, () => ({
      x: rng.uniform(),
      y: rng.uniform(),
      width: 0.05 + 0.2 * rng.uniform(),
      height: 0.2 * rng.uniform() - 0.1,
    }));
    for (let at = 0; at < size * size; at++) {
      const [x, y] = [(at % size) / size, Math.floor(at / size) / size];
      const body = Math.hypot((x - 0.5) / 0.5, (y - 0.55) / 0.6) < 1 ? 0.5 : 0;
      let value = body;
      for (const shape of shapes) {
        value += shape.height * Math.exp(-((x - shape.x) ** 2 + (y - shape.y) ** 2) / shape.width ** 2);
      }
      const noise = body > 0 ? 0.04 * (rng.uint32() / 2 ** 32 - 0.5) : 0;
      images[image * size * size + at] = 255 * Math.min(1, Math.max(0, value + noise));
    }
  }
  return images;
}
