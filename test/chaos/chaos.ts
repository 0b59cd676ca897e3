/**
 * @file A federation under a schedule of faults, run after run, until so many faults have happened. Each run must end with the model that
 * the local backend makes without any. What it counts:
 *
 * - survived: faults of runs that ended with a model, or with the clear failure that the schedule forces (never, with all hospitals needed).
 * - lost updates: a hospital's step said that it was done, and the aggregation of its iteration used fewer updates than there are hospitals.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../src/base/index.ts';
import type { RunState } from '../../src/workspace/index.ts';
import { logTail } from '../hospitals/process.ts';
import { type Hospitals, startHospitals } from '../hospitals/start.ts';
import type { Cleanup } from '../hospitals/tool.ts';
import { configTexts, type Fedrad, fedradAt, modelHash, stateOf } from '../parity/small-run.ts';
import { apply } from './faults.ts';
import { type Fault, type FaultKind, schedule } from './schedule.ts';

export interface ChaosOptions {
  readonly folder: string;
  readonly faults: number;
  readonly seed: number;
  /** As in config.yaml's data.source. */
  readonly source: string;
  /** The folder of the source, where it is one. */
  readonly imports?: string;
  /** Lines of training_parameters. */
  readonly training: string;
  /** No new fault after so long. */
  readonly minutes: number;
  /** Default: all. */
  readonly kinds?: readonly FaultKind[];
  readonly note: (text: string) => void;
}

export interface ChaosResult {
  readonly faults: number;
  readonly survived: number;
  readonly lost_updates: number;
  /** Of the runs under faults; where they differ, one that is not the reference. */
  readonly model_hash: string;
  readonly reference_hash: string;
  readonly seconds: number;
}

const SILOS = 3;
/** A run that takes longer, its faults included, hangs. */
const RUN_LIMIT_MS = 15 * 60_000;
const POLL_MS = 300;
const SUBMIT_TRIES = 10;

export async function chaos(t: Cleanup, options: ChaosOptions): Promise<ChaosResult> {
  const { folder, note } = options;
  const start = performance.now();
  await mkdir(folder, { recursive: true });
  const texts = await configTexts(options);
  const [upload, config] = [join(folder, 'upload.yaml'), join(folder, 'config.yaml')];
  await writeFile(upload, texts.upload);
  await writeFile(config, texts.pneumonia);
  const uploadData = (fedrad: Fedrad) =>
    fedrad('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', upload, '--wait');
  const reference_hash = await reference(join(folder, 'local'), uploadData, config);
  note(`reference ${reference_hash.slice(0, 12)} after ${seconds(start)} s`);

  const unexpected: string[] = [];
  const hospitals = await startHospitals(t, {
    ...{ folder: join(folder, 'hospitals'), silos: SILOS },
    ...(options.imports === undefined ? {} : { imports: options.imports }),
    onEnd: ({ name, how, log }) => void unexpected.push(`${name}: ${how}\n${log}`),
  });
  await uploadData(hospitals.fedrad);
  note(`federation on ${hospitals.network} ready after ${seconds(start)} s`);

  const faults = schedule(options.seed, SILOS, options.kinds);
  let [done, survived, lost_updates] = [0, 0, 0];
  const hashes = new Set<string>();
  const isEnough = (): boolean => done >= options.faults || performance.now() - start > options.minutes * 60_000;
  for (let runs = 1; !isEnough() || runs === 1; runs++) {
    const id = await submit(hospitals, config);
    const before = done;
    const state = await underFaults(hospitals, id, isEnough, faults, (fault, what) => {
      done++;
      note(`${seconds(start)} s, run ${runs}, fault ${done}: ${fault.kind}: ${what}, ${fault.forMs} ms`);
    });
    if (unexpected.length > 0) throw new Error(`ended by itself: ${unexpected.join('\n')}`);
    const hash = modelHash(state) ?? 'none';
    hashes.add(hash);
    if (state.status === 'COMPLETED') survived += done - before;
    else note(`run ${id} is ${state.status}: ${state.reason}`);
    lost_updates += lostUpdates(state);
    note(`${seconds(start)} s, run ${runs}: ${state.status}, model ${hash.slice(0, 12)}, ${done - before} faults`);
  }
  const wrong = [...hashes].find((hash) => hash !== reference_hash);
  const result = { faults: done, survived, lost_updates, model_hash: wrong ?? reference_hash, reference_hash };
  return { ...result, seconds: seconds(start) };
}

const seconds = (start: number): number => Math.round((performance.now() - start) / 1000);

async function reference(home: string, upload: (fedrad: Fedrad) => Promise<unknown>, config: string): Promise<string> {
  const fedrad = fedradAt(home);
  await fedrad('provision', '--silos', String(SILOS));
  await upload(fedrad);
  const { id } = JSON.parse(await fedrad('submit', 'pneumonia', '--config', config, '--wait', '--json'));
  return modelHash(await stateOf(home, id)) ?? `run ${id} has no model`;
}

/** The orchestrator, or what it needs, may be away when a run is submitted. */
async function submit({ fedrad }: Hospitals, config: string): Promise<string> {
  for (let tries = 1; ; tries++) {
    try {
      return JSON.parse(await fedrad('submit', 'pneumonia', '--config', config, '--json')).id;
    } catch (error) {
      if (tries === SUBMIT_TRIES) throw error;
      await sleep(POLL_MS);
    }
  }
}

/** Lets faults happen to a run until it has ended, or there were enough; gives its end. */
async function underFaults(
  hospitals: Hospitals,
  id: string,
  isEnough: () => boolean,
  faults: Generator<Fault>,
  onFault: (fault: Fault, what: string) => void,
): Promise<RunState> {
  const isOver = ({ status }: RunState): boolean => ['COMPLETED', 'FAILED', 'CANCELED'].includes(status);
  const deadline = performance.now() + RUN_LIMIT_MS;
  let state = await stateOf(hospitals.home, id);
  while (!isOver(state) && !isEnough()) {
    const fault = faults.next().value as Fault;
    await sleep(fault.afterMs);
    state = await stateOf(hospitals.home, id);
    if (isOver(state)) break;
    const what = await apply(fault, hospitals);
    if (what !== undefined) onFault(fault, what);
    if (performance.now() > deadline) break;
  }
  for (; !isOver(state); await sleep(POLL_MS)) {
    state = await stateOf(hospitals.home, id);
    if (performance.now() > deadline) throw new Error(hangs(hospitals, id, state));
  }
  return state;
}

function hangs({ orchestrator, server, hospitals }: Hospitals, id: string, state: RunState): string {
  const waiting = [...state.steps].filter(([, step]) => step.attempts.at(-1)?.status === 'running');
  const logs = [orchestrator, server, ...hospitals.map(({ agent }) => agent)].map(
    ({ name, logFile }) => `--- ${name}\n${logTail(logFile, 20)}`,
  );
  return `run ${id} is ${state.status} (${state.reason ?? ''}) after ${RUN_LIMIT_MS / 60_000} minutes; steps ${waiting.map(([step]) => step).join(', ')}\n${logs.join('\n')}`;
}

/** Updates that hospitals had made and an aggregation did not use. */
function lostUpdates({ steps }: RunState): number {
  let lost = 0;
  for (const [id, { metrics, attempts }] of steps) {
    const iteration = /^iteration_(\d+)_aggregation$/.exec(id)?.[1];
    if (iteration === undefined || attempts.at(-1)?.status !== 'completed') continue;
    const used = metrics.find(({ name }) => name === `iteration_${iteration}/Silos`)?.value ?? 0;
    const made = [...steps].filter(
      ([step, { attempts }]) =>
        step.startsWith(`iteration_${iteration}_silo`) &&
        step.endsWith('_training') &&
        attempts.at(-1)?.status === 'completed',
    ).length;
    lost += made - used;
  }
  return lost;
}

/** One line for a person. */
export const sentence = (result: ChaosResult): string =>
  `${result.survived} of ${result.faults} faults survived, ${result.lost_updates} updates lost, model ${
    result.model_hash === result.reference_hash ? 'as without faults' : 'DIFFERS'
  }, ${result.seconds} s`;

/** What ended the suite itself. */
export const defect = (error: unknown): string => `chaos: ${messageOf(error)}`;
