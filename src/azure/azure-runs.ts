/**
 * @file Runs on Azure ML in the history of a home: which job a run is, and what has happened to it there, as the same events that a run
 * on this machine leaves. So `fedrad run list`, `show`, `logs` and `report` read both in one way.
 *
 * Nothing waits here; `follow-job.ts` looks again and again. Only who holds the run's lock writes.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FedradError, fail } from '../base/index.ts';
import { messageIn, openStepLog } from '../components/index.ts';
import type { Graph } from '../pipelines/index.ts';
import {
  codeOf,
  foldRun,
  type RunEvent,
  type RunHistory,
  type RunState,
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
  readonly now: () => Date;
  /** Called where something could not be read that the run does not need, such as a log. */
  readonly onProblem: (error: FedradError) => void;
}

/** Where Azure ML writes what a step prints; of several processes what the first one does. The pattern of azure-ai-ml. */
export const LOG = /^user_logs\/std_log\D*0*(?:_ps)?\.txt$/;
const LOG_TAIL_LINES = 20;
const NOT_BEGUN = new Set(['NotStarted', 'Starting', 'Queued', 'Unapproved', 'Provisioning', 'Preparing']);
const OVER: Readonly<Record<string, 'COMPLETED' | 'FAILED' | 'CANCELED'>> = {
  Completed: 'COMPLETED',
  Finished: 'COMPLETED',
  Failed: 'FAILED',
  NotResponding: 'FAILED',
  Canceled: 'CANCELED',
};

/** A job that Azure ML does not know so long after its submission never arrived there. */
const ARRIVES_MS = 10 * 60_000;
/** The steps of a job that is over are told by another service, which may be behind; not for longer than this. */
const LAG_MS = 10 * 60_000;
const BEHIND = 'the job is over, and Azure ML does not tell yet how this step ended';

/** Asks Azure ML how the run stands and records what is new; gives the new state. The caller holds the run's lock. */
export async function syncAzureRun(options: SyncOptions): Promise<RunState> {
  const { ml, history, runId, graph, job, now } = options;
  const before = foldRun(history.events(runId));
  if (before.finishedAt !== undefined) return before;
  const append = (event: Parameters<RunHistory['append']>[1]): void => void history.append(runId, event);
  const standing = await ml.job(job);
  if (!standing) {
    if (!before.started && now().getTime() - Date.parse(before.submittedAt) < ARRIVES_MS)
      return fail(`job ${job}`, 'Azure ML does not know it yet', `fedrad run show ${runId}`);
    const reason = before.started ? 'Azure ML does not know the job any more' : 'the job never arrived at Azure ML';
    append({ type: 'finished', at: now().toISOString(), status: 'FAILED', reason });
    return foldRun(history.events(runId));
  }
  const { status } = standing;
  const children = await ml.children(job);
  if (!before.started && !NOT_BEGUN.has(status)) {
    append({ type: 'started', at: now().toISOString(), pid: process.pid, sandbox: 'azure-ml', cores: 1 });
  }
  const latest = new Map(children.map((child) => [child.step, child]));
  const end = OVER[status];
  for (const { id } of graph.steps) {
    const child = latest.get(id);
    if (child) await syncStep(id, child, before.steps.get(id), append, { ...options, isOver: end !== undefined });
  }
  const state = foldRun(history.events(runId));
  const failed = children.find(({ status }) => OVER[status] === 'FAILED');
  const isTold: Readonly<Record<typeof end & string, boolean>> = {
    COMPLETED: graph.steps.every(({ id }) => isEnded(state.steps.get(id))),
    FAILED: failed !== undefined,
    CANCELED: true,
  };
  if (end !== undefined && !isTold[end]) noteLag(state, graph, append, now());
  if (end !== undefined && (isTold[end] || isLate(history.events(runId), now()))) {
    const reason =
      end === 'COMPLETED' ? undefined : failed ? `${failed.step}: ${failureOf(failed)}` : `Azure ML says ${status}`;
    append({ type: 'finished', at: now().toISOString(), status: end, ...(reason === undefined ? {} : { reason }) });
  }
  return foldRun(history.events(runId));
}

const isEnded = (step: StepState | undefined): boolean => {
  const status = step?.attempts.at(-1)?.status;
  return status !== undefined && status !== 'running';
};

/** Records, once, that the steps are told later than the job. */
function noteLag(
  { steps }: RunState,
  graph: Graph,
  append: (event: Exclude<RunEvent, { type: 'submitted' }>) => void,
  now: Date,
): void {
  const untold = graph.steps.filter(({ id }) => !isEnded(steps.get(id)));
  const [first] = untold;
  if (!first || untold.some(({ id }) => steps.get(id)?.waiting === BEHIND)) return;
  append({ type: 'step-waiting', at: now.toISOString(), step: first.id, reason: BEHIND });
}

/** Whether the job was seen over so long ago that no more will be told. */
function isLate(events: readonly RunEvent[], now: Date): boolean {
  const seen = events.find((event) => event.type === 'step-waiting' && event.reason === BEHIND);
  return seen !== undefined && now.getTime() - Date.parse(seen.at) > LAG_MS;
}

async function syncStep(
  step: string,
  child: ChildRun,
  known: StepState | undefined,
  append: (event: Exclude<RunEvent, { type: 'submitted' }>) => void,
  { ml, logs, now, onProblem, isOver }: SyncOptions & { readonly isOver: boolean },
): Promise<void> {
  const end = OVER[child.status];
  if (NOT_BEGUN.has(child.status) || isEnded(known)) return;
  // Canceled without a start: another step failed before it.
  if (end === 'CANCELED' && child.startedAt === undefined) return;
  const startedAt = timeOf(child.startedAt, now);
  if (!known?.attempts.length) append({ type: 'step-started', at: startedAt, step, attempt: 1, threads: 1 });
  let log: string | undefined;
  try {
    log = await ml.log(child.runId, LOG);
  } catch (error) {
    if (!(error instanceof FedradError)) throw error;
    onProblem(error);
    // It is tried again while the run goes on; the step's end does not depend on it.
    if (!isOver) return;
  }
  // A line that is still being written would be other words at the next look.
  if (log !== undefined) await writeLog(logs, step, end === undefined ? log.slice(0, log.lastIndexOf('\n') + 1) : log);
  if (end === undefined || end === 'CANCELED') return;
  // From here on nothing can fail: all of it is recorded, or nothing.
  const at = timeOf(child.endedAt, now);
  const { metrics, cpuSeconds, tail } = readLog(log ?? '');
  for (const metric of metrics) append({ type: 'metric', at, step, ...metric });
  if (end === 'FAILED') {
    const error = tail.findLast((line) => line.trim() !== '' && !line.startsWith('{')) ?? failureOf(child);
    append({ type: 'step-failed', at, step, attempt: 1, error, logTail: tail, lost: true });
    return;
  }
  const seconds = Math.max(0, (Date.parse(at) - Date.parse(startedAt)) / 1000);
  append({ type: 'step-finished', at, step, attempt: 1, outputs: {}, seconds, cpuSeconds });
}

/** Azure ML's name of the run of a step that has completed. @throws FedradError where it is not told */
export async function completedChild(ml: AzureMl, job: string, step: string): Promise<ChildRun> {
  const child = (await ml.children(job)).find((each) => each.step === step && OVER[each.status] === 'COMPLETED');
  return child ?? fail(`job ${job}`, `Azure ML tells of no completed step "${step}"`, 'look at the job in the studio');
}

const failureOf = ({ error, status }: ChildRun): string => error ?? `Azure ML says ${status}`;

const timeOf = (text: string | undefined, now: () => Date): string =>
  (text === undefined || Number.isNaN(Date.parse(text)) ? now() : new Date(text)).toISOString();

async function writeLog(folder: string, step: string, log: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const wordsOf = openStepLog();
  const lines = log.split('\n').flatMap((line) => {
    const message = messageIn(line.trimEnd());
    return (message ? wordsOf(message) : line) ?? [];
  });
  await writeFileAtomic(join(folder, `${step}.log`), lines.join('\n'));
}

/** What a step said in JSON lines among what else is in its log. */
function readLog(log: string) {
  const metrics: { name: string; value: number; iteration?: number }[] = [];
  let cpuSeconds = 0;
  const lines = log.split('\n').map((line) => line.trimEnd());
  for (const line of lines) {
    const message = messageIn(line);
    if (message?.type === 'usage') cpuSeconds = message.cpuSeconds;
    if (message?.type !== 'metric') continue;
    const { name, value, iteration } = message;
    metrics.push({ name, value, ...(iteration === undefined ? {} : { iteration }) });
  }
  return { metrics, cpuSeconds, tail: lines.filter((line) => line !== '').slice(-LOG_TAIL_LINES) };
}
