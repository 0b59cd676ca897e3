/**
 * @file The threads of an engine: they share one linear memory and take the items of a stage one by one from a counter.
 *
 * The thread that calls works too and waits for the others at the end of each stage, so a stage is a plain call. With one
 * thread no worker is ever started.
 */
import { Worker } from 'node:worker_threads';
import type { Kernels } from './kernels.ts';
import { CONTROL } from './memory.ts';
import type { Network } from './network.ts';
import { compileProgram, type Program, type ProgramOptions } from './program.ts';
import type { Job, Stage } from './stage.ts';

export type Part = 'pack' | 'forward' | 'backward';

export interface Crew {
  /** Runs all items of all stages of a part, stage by stage; throws where a thread failed. */
  run(part: Part, job: Job): void;
  close(): Promise<void>;
}

/** What a worker thread is started with: all that it needs to compile the same program. */
export interface WorkerStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly network: Network;
  readonly options: ProgramOptions;
  readonly thread: number;
}

/** Slots of the control block: 32-bit words at address CONTROL. */
const GENERATION = 0;
const NEXT_ITEM = 1;
const DONE = 2;
const ITEMS = 3;
const STAGE = 4;
const FAILED = 5;
/** The job's numbers: 64-bit floats behind the words. */
const NUMBERS = CONTROL + 64;

const stagesOf = ({ pack, forward, backward }: Program): readonly Stage[] => [...pack, ...forward, ...backward];

export async function openCrew(start: Omit<WorkerStart, 'thread'>, program: Program, kernels: Kernels): Promise<Crew> {
  const { memory } = start;
  const words = new Int32Array(memory.buffer, CONTROL, 16);
  const numbers = new Float64Array(memory.buffer, NUMBERS, 8);
  const script = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
  const starts = await Promise.allSettled(
    Array.from({ length: start.options.threads - 1 }, (_, i) => startWorker(script, { ...start, thread: i + 1 })),
  );
  const workers = starts.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  const failed = starts.find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') {
    await Promise.all(workers.map((worker) => worker.terminate()));
    throw failed.reason;
  }
  const first: Record<Part, number> = {
    pack: 0,
    forward: program.pack.length,
    backward: program.pack.length + program.forward.length,
  };

  const together = (index: number, stage: Stage, items: number, job: Job): void => {
    words[NEXT_ITEM] = 0;
    words[DONE] = 0;
    words[ITEMS] = items;
    words[STAGE] = index;
    Atomics.add(words, GENERATION, 1);
    Atomics.notify(words, GENERATION);
    takeItems(words, kernels, stage, job, 0);
    for (let done = Atomics.load(words, DONE); done < workers.length; done = Atomics.load(words, DONE)) {
      Atomics.wait(words, DONE, done);
    }
    if (words[FAILED] !== 0) throw new Error(`engine: thread ${words[FAILED]} failed`);
  };

  return {
    run(part, job) {
      if (workers.length > 0) writeJob(numbers, job);
      for (const [offset, stage] of program[part].entries()) {
        const items = stage.items(job);
        // One item is not worth waking the others.
        if (workers.length > 0 && items > 1) together(first[part] + offset, stage, items, job);
        else for (let item = 0; item < items; item++) stage.run(kernels, job, item, 0);
      }
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

/** The life of a worker: waits for a stage, takes items, says so, until it is terminated. */
export function serve({ memory, network, options, thread }: WorkerStart, kernels: Kernels, ready: () => void): void {
  const words = new Int32Array(memory.buffer, CONTROL, 16);
  const numbers = new Float64Array(memory.buffer, NUMBERS, 8);
  const stages = stagesOf(compileProgram(network, options));
  let generation = Atomics.load(words, GENERATION);
  ready();
  for (;;) {
    Atomics.wait(words, GENERATION, generation);
    const now = Atomics.load(words, GENERATION);
    // Woken without a new stage: by a notice of the last one that came late. A second turn at it would race with what comes next.
    if (now === generation) continue;
    generation = now;
    try {
      takeItems(words, kernels, stages[words[STAGE]!]!, readJob(numbers), thread);
    } catch {
      Atomics.store(words, FAILED, thread);
    }
    Atomics.add(words, DONE, 1);
    Atomics.notify(words, DONE);
  }
}

function takeItems(words: Int32Array, kernels: Kernels, stage: Stage, job: Job, thread: number): void {
  const items = words[ITEMS]!;
  for (let item = Atomics.add(words, NEXT_ITEM, 1); item < items; item = Atomics.add(words, NEXT_ITEM, 1)) {
    stage.run(kernels, job, item, thread);
  }
}

/** Starts one worker and waits until it serves. An idle worker does not keep the process alive. */
function startWorker(script: URL, workerData: WorkerStart): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(script, { workerData });
    worker.once('error', reject);
    worker.once('message', () => {
      worker.unref();
      resolve(worker);
    });
  });
}

function writeJob(numbers: Float64Array, job: Job): void {
  numbers.set([
    job.images,
    job.training ? 1 : 0,
    job.dropoutKey ? 1 : 0,
    job.dropoutKey?.[0] ?? 0,
    job.dropoutKey?.[1] ?? 0,
    job.adaptive ? 1 : 0,
    job.anchored ? 1 : 0,
  ]);
}

function readJob(numbers: Float64Array): Job {
  const [images, training, drops, key0, key1, adaptive, anchored] = numbers;
  return {
    images: images!,
    training: training === 1,
    dropoutKey: drops ? [key0!, key1!] : undefined,
    adaptive: adaptive === 1,
    anchored: anchored === 1,
  };
}
