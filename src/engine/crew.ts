/**
 * @file The threads of an engine: they share one linear memory and take the items of a phase one by one from a counter.
 *
 * The thread that calls works too and waits for the others at the end of each phase, so a phase is a plain call. With one
 * thread no worker is ever started.
 */
import { Worker } from 'node:worker_threads';
import type { Kernels } from './kernels.ts';
import { type Job, PHASES, type PhaseName } from './phases.ts';
import { CONTROL, type Plan } from './plan.ts';

export interface Crew {
  /** Runs all items of a phase; throws what the first failing thread threw, in words. */
  run(phase: PhaseName, job: Job): void;
  close(): Promise<void>;
}

/** What a worker thread is started with. */
export interface WorkerStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly plan: Plan;
  readonly thread: number;
}

/** Slots of the control block: 32-bit words at address CONTROL. */
const GENERATION = 0;
const NEXT_ITEM = 1;
const DONE = 2;
const ITEMS = 3;
const PHASE = 4;
const FAILED = 5;
/** The job's numbers: 64-bit floats behind the words. */
const NUMBERS = CONTROL + 64;

const PHASE_NAMES = Object.keys(PHASES) as PhaseName[];

export async function openCrew(start: Omit<WorkerStart, 'thread'>, kernels: Kernels): Promise<Crew> {
  const { memory, plan } = start;
  const words = new Int32Array(memory.buffer, CONTROL, 16);
  const numbers = new Float64Array(memory.buffer, NUMBERS, 8);
  const script = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
  const workers = await Promise.all(
    plan.threads.slice(1).map((_, i) => startWorker(script, { ...start, thread: i + 1 })),
  );

  const begin = (phase: number, items: number): void => {
    words[NEXT_ITEM] = 0;
    words[DONE] = 0;
    words[ITEMS] = items;
    words[PHASE] = phase;
    Atomics.add(words, GENERATION, 1);
    if (workers.length > 0) Atomics.notify(words, GENERATION);
  };

  return {
    run(phase, job) {
      const items = PHASES[phase].items(plan, job);
      writeJob(numbers, job);
      begin(PHASE_NAMES.indexOf(phase), items);
      takeItems(words, kernels, plan, phase, job, 0);
      for (let done = Atomics.load(words, DONE); done < workers.length; done = Atomics.load(words, DONE)) {
        Atomics.wait(words, DONE, done);
      }
      if (words[FAILED] !== 0) throw new Error(`engine: thread ${words[FAILED]} failed in ${phase}`);
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

/** The life of a worker: waits for a phase, takes items, says so, until it is terminated. */
export function serve({ memory, plan, thread }: WorkerStart, kernels: Kernels, ready: () => void): void {
  const words = new Int32Array(memory.buffer, CONTROL, 16);
  const numbers = new Float64Array(memory.buffer, NUMBERS, 8);
  let generation = Atomics.load(words, GENERATION);
  ready();
  for (;;) {
    Atomics.wait(words, GENERATION, generation);
    generation = Atomics.load(words, GENERATION);
    try {
      takeItems(words, kernels, plan, PHASE_NAMES[words[PHASE]!]!, readJob(numbers), thread);
    } catch {
      Atomics.store(words, FAILED, thread);
    }
    Atomics.add(words, DONE, 1);
    Atomics.notify(words, DONE);
  }
}

function takeItems(words: Int32Array, kernels: Kernels, plan: Plan, phase: PhaseName, job: Job, thread: number): void {
  const items = words[ITEMS]!;
  const { run } = PHASES[phase];
  for (let item = Atomics.add(words, NEXT_ITEM, 1); item < items; item = Atomics.add(words, NEXT_ITEM, 1)) {
    run(kernels, plan, job, item, thread);
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
    job.dropoutKey ? 1 : 0,
    job.dropoutKey?.[0] ?? 0,
    job.dropoutKey?.[1] ?? 0,
    job.adaptive ? 1 : 0,
    job.anchored ? 1 : 0,
  ]);
}

function readJob(numbers: Float64Array): Job {
  const [images, drops, key0, key1, adaptive, anchored] = numbers;
  return {
    images: images!,
    dropoutKey: drops ? [key0!, key1!] : undefined,
    adaptive: adaptive === 1,
    anchored: anchored === 1,
  };
}
