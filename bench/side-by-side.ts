/**
 * @file fedrad and PyTorch on the same network, images and threads, taking turns: each a process of its own, so that its peak memory
 * is known. PyTorch computes in its fastest form here, channels_last, and is measured twice: as it is installed, and with glibc told to keep memory.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRng } from '../src/base/index.ts';
import type { Network } from '../src/engine/index.ts';
import { type Contender, startContender } from './contender.ts';

const PYTHON = '/usr/bin/python3';

/**
 * glibc keeps what is freed. By its defaults each large activation goes back to the system and comes anew, page fault by page fault, which
 * costs PyTorch a factor of 2 to 7 on virtual machines.
 */
const KEEP_MEMORY = {
  MALLOC_MMAP_THRESHOLD_: String(2 ** 33),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 34),
  MALLOC_TOP_PAD_: String(2 ** 28),
};

export interface Work {
  readonly network: Network;
  /** Images in a step. */
  readonly batch: number;
  readonly threads: number;
  /** How often each has its turn, and how many steps a turn has. One more turn, the first, warms up. */
  readonly turns: number;
  readonly steps: number;
}

export interface Measured {
  readonly name: string;
  /** Median of the steps, images/s, by command. */
  readonly rates: Readonly<Record<string, number>>;
  /** Of the process, after the first command: training. */
  readonly peakMiB: number;
}

interface Answer {
  /** Of each step or pass. */
  readonly seconds: readonly number[];
  readonly peakMiB: number;
  readonly name: string;
}

export const hasTorch = (): boolean => spawnSync(PYTHON, ['-c', 'import torch']).status === 0;

/** Environments of PyTorch, by what its name says of them. */
const PEERS: readonly { readonly suffix: string; readonly environment: Readonly<Record<string, string>> }[] = [
  { suffix: '', environment: {} },
  { suffix: ', memory kept', environment: KEEP_MEMORY },
];

/** Measures the commands, `train` or `evaluate`, one after another: fedrad, then each peer; without PyTorch only fedrad. */
export async function sideBySide(
  { network, batch, threads, turns, steps }: Work,
  commands: readonly string[],
  torch: boolean,
): Promise<readonly Measured[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fedrad-bench-'));
  const contenders: Contender[] = [];
  try {
    const work = join(folder, 'work.json');
    const images = join(folder, 'images');
    writeFileSync(images, phantoms(batch, network.imageSize));
    writeFileSync(work, JSON.stringify({ network, batch, threads, images }));
    const script = (file: string): string[] => [join(import.meta.dirname, file), work];
    contenders.push(startContender(process.execPath, script('train-ours.ts')));
    const peers = torch ? PEERS : [];
    for (const { environment } of peers) contenders.push(startContender(PYTHON, script('train_torch.py'), environment));
    const suffixes = ['', ...peers.map(({ suffix }) => suffix)];
    const results = contenders.map(() => ({ name: '', rates: {} as Record<string, number>, peakMiB: 0 }));
    for (const [index, command] of commands.entries()) {
      const seconds = contenders.map((): number[] => []);
      for (let turn = 0; turn <= turns; turn++) {
        for (const [i, contender] of contenders.entries()) {
          const answer = (await contender.ask(`${command} ${turn === 0 ? 1 : steps}`)) as Answer;
          if (turn > 0) seconds[i]!.push(...answer.seconds);
          results[i]!.name = answer.name + suffixes[i]!;
          if (index === 0) results[i]!.peakMiB = Math.round(answer.peakMiB);
        }
      }
      for (const [i, result] of results.entries())
        result.rates[command] = Number((batch / median(seconds[i]!)).toPrecision(3));
    }
    return results;
  } finally {
    for (const contender of contenders) contender.close();
    rmSync(folder, { recursive: true });
  }
}

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
