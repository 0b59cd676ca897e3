/**
 * @file Runs a graph to its end, whatever runs its steps. What happened goes to the run's event log before anything depends on it, so
 * a run whose process was killed goes on where it was.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FedradError, fail, messageOf } from '../base/index.ts';
import type { StepMessage } from '../components/index.ts';
import type { Graph, Step } from '../pipelines/index.ts';
import type { RunEvent, RunHistory } from '../workspace/index.ts';
import type { Outcome, RunUpdate } from './backend.ts';
import type { Attempt, AttemptEnd, Executor } from './executor.ts';
import { type Outputs, readiness } from './readiness.ts';

export interface RunGraphOptions {
  readonly history: RunHistory;
  readonly runId: string;
  readonly graph: Graph;
  /** Which arithmetic the engine has here; recorded with the run, and the same when it is resumed. */
  readonly kernels?: string;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly onUpdate: (update: RunUpdate) => void;
}

/** A step that crashes is tried so often in all. */
export const MAX_ATTEMPTS = 3;
/** So often a step runs again because what it left is gone. */
const MAX_REDONE = 5;
const RETRY_DELAY_MS = 500;
const CANCEL_POLL_MS = 250;
/** Of one attempt; a step that reports more fills the history with nothing that anybody reads. */
const MAX_METRICS = 10_000;

type StepRunEvent = Exclude<RunEvent, { type: 'submitted' }>;
/** Distributes over all events, so that each keeps its own fields. */
type WithoutTime<Event> = Event extends unknown ? Omit<Event, 'at'> : never;

/** Executes what is left of a run; returns when it has ended or `signal` stops it. */
export async function runGraph(options: RunGraphOptions, executor: Executor): Promise<Outcome> {
  const { history, runId, graph, kernels, now, signal, onUpdate } = options;
  const append = (event: WithoutTime<StepRunEvent>): number =>
    history.append(runId, { ...event, at: now().toISOString() } as StepRunEvent);
  const before = history.events(runId);
  checkKernels(runId, before, kernels);
  const { sandbox, cores } = executor;
  append({ type: 'started', pid: process.pid, sandbox, cores, ...(kernels === undefined ? {} : { kernels }) });
  const lost = earlierLosses(before);
  const running = new Map<string, { step: Step; threads: number; ended: Promise<void> }>();
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
  const ends = endsByStep(before);
  const begun = beginnings(before);
  const { finished, damaged } = await earlierOutputs(executor, before);
  onUpdate({ kind: 'run-started', steps: graph.steps.length, finished: finished.size, sandbox, cores });
  const lose = (step: Step, reason: string): void => {
    lost.set(step.id, reason);
    if (step.optional) return;
    fatal ??= `${step.id}: ${reason}`;
    stop.abort();
  };
  const pending = (): Step[] => graph.steps.filter(({ id }) => !finished.has(id) && !lost.has(id) && !running.has(id));

  /** Starts what can start. */
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
      const others = ready.slice(index).map((each) => each.step);
      const threads = executor.threadsFor(step, others, [...running.values()]);
      if (threads === undefined) continue;
      const ended = runStep(step, inputs, threads).finally(() => running.delete(step.id));
      running.set(step.id, { step, threads, ended });
    }
  };

  const runStep = async (step: Step, inputs: readonly string[], threads: number): Promise<void> => {
    for (let tries = 1; tries <= MAX_ATTEMPTS && !stopped.aborted; tries++) {
      const attempt = (ends.get(step.id) ?? 0) + 1;
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
      const onWaiting = (reason: string | undefined): void => {
        append({ type: 'step-waiting', step: step.id, ...(reason === undefined ? {} : { reason }) });
        onUpdate({ kind: 'step-waiting', step, ...(reason === undefined ? {} : { reason }) });
      };
      const failed = (error: string, logTail: readonly string[], then: 'again' | 'lost', here = false): void => {
        ends.set(step.id, attempt);
        const again = then === 'again';
        append({
          ...{ type: 'step-failed', step: step.id, attempt, error, logTail: [...logTail] },
          ...(again ? {} : { lost: true }),
          ...(here ? { here } : {}),
        });
        const retryInMs = RETRY_DELAY_MS * tries;
        onUpdate({ kind: 'step-failed', step, error, ...(again ? { retryInMs } : {}) });
      };
      const end = await runAttempt(executor, {
        ...{ runId, step, attempt, startedAt: begun.get(`${step.id} ${attempt}`) ?? now(), threads, inputs, finished },
        ...{ redone: damaged.has(step.id), signal: stopped, onMessage, onWaiting },
      });
      switch (end.kind) {
        case 'aborted':
          return;
        case 'completed': {
          const seconds = (performance.now() - start) / 1000;
          const { outputs } = end;
          append({ type: 'step-finished', step: step.id, attempt, outputs, seconds, cpuSeconds });
          ends.set(step.id, attempt);
          finished.set(step.id, outputs);
          onUpdate({ kind: 'step-finished', step, seconds });
          return;
        }
        case 'inputs-lost': {
          const producers = producersOf(step, end.inputs);
          const hopeless = producers.length === 0 || attempt > MAX_REDONE;
          failed(`outputs of ${producers.join(', ')} are gone or damaged`, [], hopeless ? 'lost' : 'again');
          if (hopeless) return lose(step, 'its inputs were lost again and again');
          for (const id of producers) {
            finished.delete(id);
            damaged.add(id);
          }
          return;
        }
        case 'refused':
          failed(end.error, end.logTail, 'lost');
          return lose(step, end.error);
        case 'crashed': {
          const again = tries < MAX_ATTEMPTS;
          failed(end.error, end.logTail, again ? 'again' : 'lost', end.here);
          if (!again) return lose(step, crashReason(end.error, end.logTail));
        }
      }
      await sleep(RETRY_DELAY_MS * tries, undefined, { signal: stopped }).catch(() => {});
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
  checkCanceled();
  const outcome = outcomeOf(graph, finished, { fatal, canceledBy, interrupted: signal.aborted });
  if (outcome.status !== 'INTERRUPTED') {
    append({ type: 'finished', status: outcome.status, ...('reason' in outcome ? { reason: outcome.reason } : {}) });
  }
  return outcome;
}

/** What the executor's own side refuses, a datastore without space or a vault, ends the step as a refusal of its own would. */
async function runAttempt(executor: Executor, attempt: Attempt): Promise<AttemptEnd> {
  try {
    return await executor.run(attempt);
  } catch (error) {
    if (!(error instanceof FedradError)) throw error;
    return { kind: 'refused', error: error.message, logTail: [] };
  }
}

function producersOf(step: Step, inputs: readonly string[]): string[] {
  const producers = inputs.flatMap((name) => {
    const input = step.inputs[name];
    return input?.from === 'step' ? [input.step] : [];
  });
  return [...new Set(producers)];
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
function crashReason(error: string, logTail: readonly string[]): string {
  const last = logTail.findLast((line) => line.trim() !== '');
  return `crashed ${MAX_ATTEMPTS} times, ${error}${last === undefined ? '' : `: ${last}`}`;
}

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

/**
 * The last attempt of each step that came to an end. The one after it may have begun: it has the same number when the run goes on, so
 * that who still works on it knows it again.
 */
function endsByStep(events: readonly RunEvent[]): Map<string, number> {
  const ends = new Map<string, number>();
  for (const event of events) {
    if (event.type !== 'step-finished' && event.type !== 'step-failed') continue;
    ends.set(event.step, Math.max(ends.get(event.step) ?? 0, event.attempt));
  }
  return ends;
}

/** When each attempt first started, by step and number. */
function beginnings(events: readonly RunEvent[]): Map<string, Date> {
  const begun = new Map<string, Date>();
  for (const event of events) {
    if (event.type !== 'step-started') continue;
    const key = `${event.step} ${event.attempt}`;
    if (!begun.has(key)) begun.set(key, new Date(event.at));
  }
  return begun;
}

/** Steps that were lost before a crash: the run goes on without them, as it did. After an end they are tried again. */
function earlierLosses(events: readonly RunEvent[]): Map<string, string> {
  const lost = new Map<string, string>();
  for (const event of events) {
    if (event.type === 'finished') lost.clear();
    if (event.type === 'step-failed' && event.lost) lost.set(event.step, event.error);
  }
  return lost;
}

/** Outputs of the steps that finished earlier and are still what they were, and the steps whose outputs have changed since. */
async function earlierOutputs(executor: Executor, events: readonly RunEvent[]) {
  const finished = new Map<string, Outputs>();
  const damaged = new Set<string>();
  for (const event of events) {
    if (event.type !== 'step-finished') continue;
    const same = await Promise.all(Object.values(event.outputs).map((output) => executor.isIntact(output)));
    if (same.every(Boolean)) {
      finished.set(event.step, event.outputs);
      damaged.delete(event.step);
    } else {
      finished.delete(event.step);
      damaged.add(event.step);
    }
  }
  return { finished, damaged };
}
