/**
 * @file The local backend: every step a child process in its sandbox, side by side within the cores. What happened goes to the run's
 * event log before anything depends on it, so a run that was killed goes on where it was.
 */
import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FedradError, fail, messageOf } from '../../base/index.ts';
import { COMPONENTS, type Needs, type StepMessage, stepArguments, type Torch } from '../../components/index.ts';
import type { Graph, Step } from '../../pipelines/index.ts';
import {
  findCompute,
  findDatastore,
  parseDatastoreUri,
  type RunEvent,
  type RunHistory,
  type Workspace,
} from '../../workspace/index.ts';
import type { Backend, Outcome, RunUpdate } from '../backend.ts';
import { type Outputs, readiness } from './readiness.ts';
import { confine, type SandboxKind } from './sandbox.ts';
import { runAttempt } from './step-process.ts';

export interface LocalBackendOptions {
  readonly workspace: Workspace;
  readonly history: RunHistory;
  /** Folder for the logs and unfinished work of a run. */
  readonly runFolder: (runId: string) => string;
  readonly sandbox: SandboxKind;
  /** Path of the program that runs a step. */
  readonly stepProgram: string;
  /** Cores to fill; default all. */
  readonly cores?: number;
  /** Which arithmetic the engine has here; recorded with the run, and the same when it is resumed. */
  readonly kernels?: string;
  /** For steps that train in PyTorch. */
  readonly torch?: Torch;
  readonly now: () => Date;
}

/** A step that crashes is tried so often in all. */
const MAX_ATTEMPTS = 3;
const RETRY_DELAY_MS = 500;
/** A step that says nothing for so long is stopped. The longest silence is a batch of images, or a hospital's evaluation. */
const IDLE_TIMEOUT_MS = 30 * 60_000;
const CANCEL_POLL_MS = 250;
/** Of one attempt; a step that reports more fills the history with nothing that anybody reads. */
const MAX_METRICS = 10_000;

type StepRunEvent = Exclude<RunEvent, { type: 'submitted' }>;
/** Distributes over all events, so that each keeps its own fields. */
type WithoutTime<Event> = Event extends unknown ? Omit<Event, 'at'> : never;

export function localBackend(options: LocalBackendOptions): Backend {
  return { execute: (runId, graph, hooks) => execute(options, runId, graph, hooks.signal, hooks.onUpdate) };
}

async function execute(
  options: LocalBackendOptions,
  runId: string,
  graph: Graph,
  signal: AbortSignal,
  onUpdate: (update: RunUpdate) => void,
): Promise<Outcome> {
  const { history, workspace, now } = options;
  const cores = options.cores ?? availableParallelism();
  const append = (event: WithoutTime<StepRunEvent>): number =>
    history.append(runId, { ...event, at: now().toISOString() } as StepRunEvent);
  const folder = options.runFolder(runId);
  const work = join(folder, 'work');
  await rm(work, { recursive: true, force: true });
  await mkdir(join(folder, 'logs'), { recursive: true });

  const before = history.events(runId);
  checkKernels(runId, before, options.kernels);
  const { kernels } = options;
  append({
    type: 'started',
    pid: process.pid,
    sandbox: options.sandbox,
    cores,
    ...(kernels === undefined ? {} : { kernels }),
  });
  const lost = new Map<string, string>();
  const running = new Map<string, { threads: number; ended: Promise<void> }>();
  let fatal: string | undefined;
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);

  // A request that nobody has answered yet, and any that comes from now on.
  let canceledBy = openRequest(before);
  const checkCanceled = (): void => {
    canceledBy ??= openRequest(history.events(runId, before.length).filter(({ type }) => type !== 'started'));
    if (canceledBy !== undefined) stop.abort();
  };
  checkCanceled();
  const poll = setInterval(checkCanceled, CANCEL_POLL_MS);
  const { finished, damaged } = await earlierOutputs(options, before);
  onUpdate({
    kind: 'run-started',
    steps: graph.steps.length,
    finished: finished.size,
    sandbox: options.sandbox,
    cores,
  });
  const lose = (step: Step, reason: string): void => {
    lost.set(step.id, reason);
    if (step.optional) return;
    fatal ??= `${step.id}: ${reason}`;
    stop.abort();
  };
  const pending = (): Step[] => graph.steps.filter(({ id }) => !finished.has(id) && !lost.has(id) && !running.has(id));
  const freeCores = (): number => cores - [...running.values()].reduce((sum, { threads }) => sum + threads, 0);

  /** Starts what can start; the cores are shared out among the steps that are ready. */
  const startReady = (): void => {
    const ready: { step: Step; inputs: readonly string[] }[] = [];
    for (const step of pending()) {
      const state = readiness(step, { finished, lost });
      if (state.kind === 'ready') ready.push({ step, inputs: state.inputs });
      if (state.kind !== 'impossible') continue;
      onUpdate({ kind: 'step-skipped', step, because: state.reason });
      lose(step, state.reason);
    }
    for (const [index, { step, inputs }] of ready.entries()) {
      const free = freeCores();
      if (free < 1) return;
      const usesThreads = 'threads' in COMPONENTS[step.component].needs && options.sandbox === 'bubblewrap';
      const threads = usesThreads ? Math.max(1, Math.floor(free / (ready.length - index))) : 1;
      const ended = runStep(step, inputs, threads).finally(() => running.delete(step.id));
      running.set(step.id, { threads, ended });
    }
  };

  const runStep = async (step: Step, inputs: readonly string[], threads: number): Promise<void> => {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS && !stopped.aborted; attempt++) {
      const attemptFolder = join(work, `${step.id}.${attempt}`);
      append({ type: 'step-started', step: step.id, attempt, threads });
      onUpdate({ kind: 'step-started', step, attempt });
      const start = performance.now();
      let [cpuSeconds, metrics] = [0, 0];
      const onMessage = (message: StepMessage): void => {
        // A step of several processes hears from each.
        if (message.type === 'usage') cpuSeconds += message.cpuSeconds;
        if (message.type === 'progress') onUpdate({ kind: 'progress', step, ...withoutType(message) });
        if (message.type === 'metric' && metrics++ < MAX_METRICS) {
          const { iteration, ...metric } = message;
          append({ step: step.id, ...metric, ...(iteration === undefined ? {} : { iteration }) });
        }
      };
      const failed = (error: string, logTail: string[], again: boolean): void => {
        append({ type: 'step-failed', step: step.id, attempt, error, logTail });
        const retryInMs = RETRY_DELAY_MS * attempt;
        onUpdate({ kind: 'step-failed', step, error, ...(again ? { retryInMs } : {}) });
      };
      try {
        const command = await attemptCommand(options, step, inputs, finished, attemptFolder, threads);
        const result = await runAttempt({
          command,
          secrets: await secretsOf(workspace, step),
          logFile: join(folder, 'logs', `${step.id}.log`),
          idleTimeoutMs: IDLE_TIMEOUT_MS,
          signal: stopped,
          onMessage,
        });
        if (result.kind === 'aborted') return;
        if (result.kind === 'completed') {
          const outputs = await publishOutputs(workspace, runId, step, attemptFolder, damaged.has(step.id));
          const seconds = (performance.now() - start) / 1000;
          append({ type: 'step-finished', step: step.id, attempt, outputs, seconds, cpuSeconds });
          finished.set(step.id, Object.fromEntries(Object.entries(outputs).map(([name, { path }]) => [name, path])));
          onUpdate({ kind: 'step-finished', step, seconds });
          return;
        }
        const again = result.kind === 'crashed' && attempt < MAX_ATTEMPTS;
        failed(result.error, result.logTail, again);
        if (!again)
          return lose(step, result.kind === 'crashed' ? crashReason(result.error, result.logTail) : result.error);
      } catch (error) {
        // Not the child but this side: a datastore without space, a vault that refuses.
        if (!(error instanceof FedradError)) throw error;
        failed(error.message, [], false);
        return lose(step, error.message);
      } finally {
        await rm(attemptFolder, { recursive: true, force: true });
      }
      await sleep(RETRY_DELAY_MS * attempt, undefined, { signal: stopped }).catch(() => {});
    }
  };

  try {
    while (!stopped.aborted) {
      startReady();
      if (running.size === 0) break;
      await Promise.race([...running.values()].map(({ ended }) => ended));
    }
    await Promise.all([...running.values()].map(({ ended }) => ended));
  } catch (error) {
    fatal = messageOf(error);
    stop.abort();
    await Promise.allSettled([...running.values()].map(({ ended }) => ended));
  } finally {
    clearInterval(poll);
  }
  await rm(work, { recursive: true, force: true });
  checkCanceled();
  const outcome = outcomeOf(graph, finished, { fatal, canceledBy, interrupted: signal.aborted });
  if (outcome.status !== 'INTERRUPTED') {
    append({ type: 'finished', status: outcome.status, ...('reason' in outcome ? { reason: outcome.reason } : {}) });
  }
  return outcome;
}

function outcomeOf(
  graph: Graph,
  finished: ReadonlyMap<string, Outputs>,
  ended: { fatal: string | undefined; canceledBy: string | undefined; interrupted: boolean },
): Outcome {
  if (ended.canceledBy !== undefined) return { status: 'CANCELED', reason: `canceled by ${ended.canceledBy}` };
  if (ended.fatal !== undefined) return { status: 'FAILED', reason: ended.fatal };
  if (graph.steps.every(({ id, optional }) => optional || finished.has(id))) return { status: 'COMPLETED' };
  return ended.interrupted
    ? { status: 'INTERRUPTED' }
    : { status: 'FAILED', reason: 'steps are left that can never start' };
}

const withoutType = <T extends { type: string }>({ type: _, ...rest }: T): Omit<T, 'type'> => rest;

/** A crash in one line: how it ended and what the log said last. */
const crashReason = (error: string, logTail: readonly string[]): string =>
  `crashed ${MAX_ATTEMPTS} times, ${error}: ${logTail.findLast((line) => line.trim() !== '') ?? 'its log is empty'}`;

/** Who asked for an end that has not come yet. A start or an end after the request answers it. */
function openRequest(events: readonly RunEvent[]): string | undefined {
  const last = events.findLast(({ type }) => type === 'cancel-requested' || type === 'started' || type === 'finished');
  return last?.type === 'cancel-requested' ? last.by : undefined;
}

/** Throws where the run began with another arithmetic: its models would mix two that differ in their last bits. */
function checkKernels(runId: string, events: readonly RunEvent[], kernels: string | undefined): void {
  const first = events.find((event) => event.type === 'started');
  if (first?.type !== 'started' || first.kernels === undefined || kernels === undefined || first.kernels === kernels)
    return;
  fail(
    `run ${runId}`,
    `it began with ${first.kernels}; this machine has ${kernels}`,
    'resume it where it began, or submit again',
  );
}

/** Outputs of the steps that finished earlier and are still what they were, and the steps whose outputs have changed since. */
async function earlierOutputs({ workspace }: LocalBackendOptions, events: readonly RunEvent[]) {
  const finished = new Map<string, Outputs>();
  const damaged = new Set<string>();
  for (const event of events) {
    if (event.type !== 'step-finished') continue;
    const same = await Promise.all(
      Object.values(event.outputs).map(async ({ path, sha256 }) => {
        const at = parseDatastoreUri(path);
        const datastore = findDatastore(workspace, at.datastore, path);
        return (await datastore.exists(at.path)) && (await datastore.hash(at.path)).sha256 === sha256;
      }),
    );
    const outputs = Object.entries(event.outputs).map(([name, { path }]) => [name, path] as const);
    if (same.every(Boolean)) finished.set(event.step, Object.fromEntries(outputs));
    else damaged.add(event.step);
  }
  return { finished, damaged };
}

async function secretsOf(workspace: Workspace, step: Step): Promise<Record<string, string>> {
  const { identity } = findCompute(workspace, step.compute, step.id);
  const secrets: Record<string, string> = {};
  for (const name of step.secrets) secrets[name] = (await workspace.vault.getSecret(name, identity)).reveal();
  return secrets;
}

const localPath = (workspace: Workspace, uri: string): string => {
  const { datastore, path } = parseDatastoreUri(uri);
  return findDatastore(workspace, datastore, uri).localPath(path);
};

async function attemptCommand(
  options: LocalBackendOptions,
  step: Step,
  inputNames: readonly string[],
  finished: ReadonlyMap<string, Outputs>,
  folder: string,
  threads: number,
) {
  const { workspace } = options;
  const inputs = new Map<string, string>();
  for (const name of inputNames) {
    const input = step.inputs[name]!;
    if (input.from === 'local') inputs.set(name, input.path);
    if (input.from === 'datastore') inputs.set(name, localPath(workspace, input.path));
    if (input.from === 'step') inputs.set(name, localPath(workspace, finished.get(input.step)![input.output]!));
  }
  const outputs = new Map(Object.keys(step.outputs).map((name) => [name, join(folder, 'out', name)]));
  const scratch = join(folder, 'scratch');
  const cache = step.cache === undefined ? undefined : localPath(workspace, step.cache);
  const write = [scratch, ...outputs.values(), ...(cache === undefined ? [] : [cache])];
  for (const path of write) await mkdir(path, { recursive: true });
  const { decoder = false, pytorch = false }: Needs = COMPONENTS[step.component].needs;
  const torch = pytorch ? options.torch : undefined;
  if (pytorch && !torch) throw new Error(`${step.id}: nobody has looked for PyTorch`);
  return confine(
    options.sandbox,
    {
      read: [...inputs.values(), ...(torch?.read ?? [])],
      write,
      network: step.network,
      workerThreads: threads > 1,
      addons: decoder,
      childProcesses: pytorch,
      devices: torch?.devices ?? [],
      environment: torch?.environment ?? {},
    },
    options.stepProgram,
    stepArguments({
      component: step.component,
      inputs,
      outputs,
      parameters: step.parameters,
      scratch,
      ...(cache === undefined ? {} : { cache }),
      threads,
      attached: true,
    }),
  );
}

/** Moves the finished outputs to where the graph wants them. */
async function publishOutputs(workspace: Workspace, runId: string, step: Step, folder: string, redone: boolean) {
  const outputs: Record<string, { path: string; sha256: string; bytes: number }> = {};
  for (const [name, template] of Object.entries(step.outputs)) {
    const path = template.replaceAll('${{name}}', runId);
    const at = parseDatastoreUri(path);
    const datastore = findDatastore(workspace, at.datastore, path);
    const replace = step.replace || redone;
    const { sha256, bytes } = await datastore.publish(join(folder, 'out', name), at.path, { replace });
    outputs[name] = { path, sha256, bytes };
  }
  return outputs;
}
