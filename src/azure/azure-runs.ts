/**
 * @file Runs on Azure ML in the history of a home: which job a run is, and what has happened to it there, as the same events that a run
 * on this machine leaves. So `fedrad run list`, `show`, `logs` and `report` read both in one way.
 *
 * Nothing waits here; `follow-job.ts` looks again and again. Only who holds the run's lock writes.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { stepMessageSchema } from '../components/index.ts';
import type { Graph } from '../pipelines/index.ts';
import {
  codeOf,
  foldRun,
  type RunEvent,
  type RunHistory,
  type RunState,
  type StepOutput,
  type StepState,
  writeFileAtomic,
} from '../workspace/index.ts';
import type { AzureMl, ChildRun } from './azureml-client.ts';

const azureRunSchema = z.strictObject({
  subscriptionId: z.string(),
  resourceGroup: z.string(),
  workspaceName: z.string(),
  /** Azure ML's name of the job. */
  job: z.string(),
  studio: z.string().exactOptional(),
});

/** Which job of which workspace a run is. */
export type AzureRun = Readonly<z.infer<typeof azureRunSchema>>;

const recordFile = (runFolder: string): string => join(runFolder, 'azure.json');

export const recordAzureRun = (runFolder: string, run: AzureRun): Promise<void> =>
  writeFileAtomic(recordFile(runFolder), `${JSON.stringify(run, null, 2)}\n`);

/** undefined: not a run on Azure ML. */
export async function readAzureRun(runFolder: string): Promise<AzureRun | undefined> {
  const text = await readFile(recordFile(runFolder), 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  return text === undefined ? undefined : azureRunSchema.parse(JSON.parse(text));
}

export interface SyncOptions {
  readonly ml: AzureMl;
  readonly history: RunHistory;
  readonly runId: string;
  readonly graph: Graph;
  readonly job: string;
  /** Holds `<step>.log`. */
  readonly logs: string;
  /** Fetches what is to be kept here of a finished step's outputs; called once for each. */
  readonly fetchOutputs: (step: Graph['steps'][number], child: ChildRun) => Promise<Record<string, StepOutput>>;
  readonly now: () => Date;
}

/** Where Azure ML writes what a step prints. */
const LOG = 'user_logs/std_log.txt';
const LOG_TAIL_LINES = 20;
const NOT_BEGUN = new Set(['NotStarted', 'Starting', 'Queued', 'Unapproved', 'Provisioning', 'Preparing']);
const OVER: Readonly<Record<string, 'COMPLETED' | 'FAILED' | 'CANCELED'>> = {
  Completed: 'COMPLETED',
  Finished: 'COMPLETED',
  Failed: 'FAILED',
  NotResponding: 'FAILED',
  Canceled: 'CANCELED',
};

/** Asks Azure ML how the run stands and records what is new; gives the new state. The caller holds the run's lock. */
export async function syncAzureRun(options: SyncOptions): Promise<RunState> {
  const { ml, history, runId, graph, job, now } = options;
  const before = foldRun(history.events(runId));
  if (before.finishedAt !== undefined) return before;
  const append = (event: Parameters<RunHistory['append']>[1]): void => void history.append(runId, event);
  // First the job, then its steps: of a job that is over they are told in full.
  const { status } = await ml.job(job);
  const children = await ml.children(job);
  if (!before.started && !NOT_BEGUN.has(status)) {
    append({ type: 'started', at: now().toISOString(), pid: process.pid, sandbox: 'azure-ml', cores: 1 });
  }
  const latest = new Map(children.map((child) => [child.step, child]));
  for (const step of graph.steps) {
    const child = latest.get(step.id);
    if (child) await syncStep(step, child, before.steps.get(step.id), append, options);
  }
  const end = OVER[status];
  if (end !== undefined) {
    const failed = children.find(({ status }) => OVER[status] === 'FAILED');
    const reason =
      end === 'COMPLETED' ? undefined : failed ? `${failed.step}: ${failureOf(failed)}` : `Azure ML says ${status}`;
    append({ type: 'finished', at: now().toISOString(), status: end, ...(reason === undefined ? {} : { reason }) });
  }
  return foldRun(history.events(runId));
}

async function syncStep(
  step: Graph['steps'][number],
  child: ChildRun,
  known: StepState | undefined,
  append: (event: Exclude<RunEvent, { type: 'submitted' }>) => void,
  options: SyncOptions,
): Promise<void> {
  // Canceled without a start: another step failed before it.
  if (NOT_BEGUN.has(child.status) || (OVER[child.status] === 'CANCELED' && !child.startedAt)) return;
  const last = known?.attempts.at(-1);
  if (last && last.status !== 'running') return;
  const startedAt = timeOf(child.startedAt, options.now);
  if (!last) append({ type: 'step-started', at: startedAt, step: step.id, attempt: 1, threads: 1 });
  const log = await options.ml.log(child.runId, LOG);
  if (log !== undefined) await writeLog(options.logs, step.id, log);
  const end = OVER[child.status];
  if (end === undefined || end === 'CANCELED') return;
  const at = timeOf(child.endedAt, options.now);
  const { metrics, cpuSeconds, tail } = readLog(log ?? '');
  for (const metric of metrics) append({ type: 'metric', at, step: step.id, ...metric });
  if (end === 'FAILED') {
    const error = tail.findLast((line) => line.trim() !== '' && !line.startsWith('{')) ?? failureOf(child);
    append({ type: 'step-failed', at, step: step.id, attempt: 1, error, logTail: tail, lost: true });
    return;
  }
  const outputs = await options.fetchOutputs(step, child);
  const seconds = Math.max(0, (Date.parse(at) - Date.parse(startedAt)) / 1000);
  append({ type: 'step-finished', at, step: step.id, attempt: 1, outputs, seconds, cpuSeconds });
}

const failureOf = ({ error, status }: ChildRun): string => error ?? `Azure ML says ${status}`;

const timeOf = (text: string | undefined, now: () => Date): string =>
  (text === undefined || Number.isNaN(Date.parse(text)) ? now() : new Date(text)).toISOString();

async function writeLog(folder: string, step: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFileAtomic(join(folder, `${step}.log`), text);
}

/** What a step said in JSON lines among what else is in its log. */
function readLog(log: string) {
  const metrics: { name: string; value: number; iteration?: number }[] = [];
  let cpuSeconds = 0;
  const lines = log.split('\n').map((line) => line.trimEnd());
  for (const line of lines) {
    if (!line.startsWith('{"type":')) continue;
    const message = stepMessageSchema.safeParse(jsonOf(line));
    if (!message.success) continue;
    if (message.data.type === 'usage') cpuSeconds = message.data.cpuSeconds;
    if (message.data.type !== 'metric') continue;
    const { name, value, iteration } = message.data;
    metrics.push({ name, value, ...(iteration === undefined ? {} : { iteration }) });
  }
  return { metrics, cpuSeconds, tail: lines.filter((line) => line !== '').slice(-LOG_TAIL_LINES) };
}

/** undefined for a line that was cut. */
function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
