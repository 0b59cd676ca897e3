/**
 * @file What becomes of a delivery of work: rejected, remembered from the journal, joined to the same work that runs already, or run.
 * The journal is written before anything is sent, so whatever is killed when, no work ends twice or differently.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { FedradError, fail, messageOf, withoutPaths } from '../base/index.ts';
import { type End, unseal, type Work, workSchema } from '../messaging/index.ts';
import { answer, type Delivery } from './deliveries.ts';
import type { DiskSpace } from './disk-space.ts';
import type { Journal, WorkKey } from './journal.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';
import type { AgentMetrics } from './metrics.ts';
import { type RunWorkOptions, runWork } from './run-work.ts';
import { isStillHere, type SendEndOptions, sendEnd } from './send-end.ts';
import { openTalk } from './talk.ts';

export interface WorkerOptions {
  readonly link: Link;
  readonly compute: string;
  readonly signingKey: KeyObject;
  readonly orchestratorKey: KeyObject;
  readonly journal: Journal;
  readonly running: RunWorkOptions;
  readonly sending: SendEndOptions;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  readonly space: DiskSpace;
  /** Whether the run has ended; unknown counts as not. */
  readonly isClosed: (run: string) => Promise<boolean>;
  /** Removes what is kept on disk for a run. */
  readonly forgetFiles: (run: string) => Promise<void>;
}

export interface RunningWork extends WorkKey {
  readonly since: string;
  readonly phase: 'running' | 'sending';
}

export interface Worker {
  /** Deals with a delivery to its end. Never rejects. */
  handle(delivery: Delivery): Promise<void>;
  running(): readonly RunningWork[];
  /** Stops the run's steps and forgets what was kept for it. */
  closeRun(run: string): Promise<void>;
  /** Stops these attempts: the run goes on without them. */
  withdraw(keys: readonly WorkKey[]): Promise<void>;
  /** Stops all steps now; their work comes again. */
  stop(): Promise<void>;
}

/** The queue gives work to nobody else while it hears of it so often; it waits three times as long. */
const WORKING_MS = 10_000;

interface Current {
  readonly key: WorkKey;
  readonly since: string;
  readonly abort: AbortController;
  /** Of its last delivery. */
  ack: string;
  phase: 'running' | 'sending';
  /** Nobody waits for it any more: it must not come again. */
  closed: boolean;
  ended: Promise<void>;
}

/** A step waits so long for space on a full disk; and runs again so often for want of it. */
const SPACE_MS = 30 * 60_000;
const MAX_SPACE_TRIES = 20;

/** What every version signs of a work; enough to say that the rest was not understood. */
const claimSchema = z.object({ run: z.string(), attempt: z.int().positive(), step: z.object({ id: z.string() }) });

export function openWorker(options: WorkerOptions): Worker {
  const { link, compute, journal, metrics, log, running: runOptions } = options;
  const current = new Map<string, Current>();
  let stopped = false;

  const tell = (ack: string, what: Parameters<typeof answer>[2]): void => {
    const connection = link.now();
    if (connection) answer(connection, ack, what);
  };

  const read = (delivery: Delivery): Work | undefined => {
    try {
      const work = unseal(delivery.data, workSchema, options.orchestratorKey, 'the orchestrator');
      if (delivery.subject.split('.').at(-1) === work.run) return work;
      return fail('message from the orchestrator', `it is of run ${work.run}, and came as another's`);
    } catch (error) {
      metrics.rejected.inc();
      log.error(`work that does not count: ${messageOf(error)}`, { subject: delivery.subject });
      return undefined;
    }
  };

  /** An end that says that the work cannot be read here, for work that the orchestrator did sign. */
  const notUnderstood = (delivery: Delivery): End | undefined => {
    try {
      const { run, attempt, step } = unseal(delivery.data, claimSchema, options.orchestratorKey, 'the orchestrator');
      if (delivery.subject.split('.').at(-1) !== run) return undefined;
      const error =
        'this hospital has another version of fedrad, which does not understand the work; update both sides';
      const end: End['end'] = { kind: 'refused', error, logTail: [] };
      return { kind: 'end', run, step: step.id, attempt, compute, end, messages: [], seconds: 0 };
    } catch {
      // Not from the orchestrator: already reported.
      return undefined;
    }
  };

  /** Runs the work; undefined where it was stopped. */
  const runNow = async (work: Work, entry: Current): Promise<End | undefined> => {
    const { key } = entry;
    const talk = openTalk({ link, compute, signingKey: options.signingKey, clock: runOptions.clock }, key);
    log.info(`${key.step}: begun (attempt ${key.attempt})`, { run: key.run });
    const end = await runWork(work, runOptions, talk, entry.abort.signal);
    if (!end) return undefined;
    metrics.ended.inc({ end: end.end.kind });
    metrics.seconds.observe({ component: work.step.component }, end.seconds);
    const detail = 'error' in end.end ? `: ${end.end.error}` : '';
    log.info(`${key.step}: ${end.end.kind} after ${end.seconds.toFixed(1)} s${detail}`, { run: key.run });
    return end;
  };

  /** The noted end of the work. Where the disk was full it waits for space and runs the work again. */
  const runWithSpace = async (work: Work, entry: Current): Promise<End | undefined> => {
    const { signal } = entry.abort;
    for (let tries = 1; ; tries++) {
      const ended =
        cannotBegin(work, entry.ack) ?? (await runNow(tries === 1 ? work : { ...work, redone: true }, entry));
      if (!ended) return undefined;
      const isFull = await options.space.isCause(ended.end);
      const end = isFull ? ended : noted(ended);
      if (!isFull && !(await options.space.isCause(end.end))) return end;
      log.warn(`${entry.key.step}: the disk is full; it runs again when there is space`, { run: entry.key.run });
      const isThere = await options.space.wait(SPACE_MS, signal);
      if (signal.aborted) return undefined;
      if (!isThere || tries === MAX_SPACE_TRIES) return noted(end);
    }
  };

  /** The end as the journal has it. A journal that cannot be written must not hold back the news of it. */
  const noted = (end: End): End => {
    try {
      journal.ended(end, runOptions.now());
      return end;
    } catch (error) {
      log.error(`the journal cannot be written: ${messageOf(error)}`);
      if (end.end.kind !== 'completed') return end;
      return { ...end, end: { kind: 'refused', error: withoutPaths(messageOf(error)), logTail: [] } };
    }
  };

  /** Where this cannot be written, the queue is asked once more after the next start. */
  const confirm = (key: WorkKey): void => {
    try {
      journal.confirmed(key);
    } catch (error) {
      log.warn(`the journal cannot be written: ${messageOf(error)}`);
    }
  };

  /** Notes that the work begins; the end of work that cannot, because the disk is full. */
  const cannotBegin = ({ run, step, attempt }: Work, ack: string): End | undefined => {
    try {
      journal.begun({ run, step: step.id, attempt }, ack, runOptions.now());
      return undefined;
    } catch (error) {
      if (!(error instanceof FedradError)) throw error;
      log.error(`the journal cannot be written: ${error.message}`);
      const end: End['end'] = { kind: 'refused', error: withoutPaths(error.message), logTail: [] };
      return { kind: 'end', run, step: step.id, attempt, compute, end, messages: [], seconds: 0 };
    }
  };

  /** The end from the journal, where its outputs are still here; else the work must run again. */
  const remembered = async (key: WorkKey): Promise<End | undefined> => {
    const ended = journal.end(key);
    if (!ended) return undefined;
    if (await isStillHere(ended.end, options.sending)) return ended.end;
    log.warn(`${key.step}: what it left is gone; it runs again`, { run: key.run });
    journal.forgetWork(key);
    return undefined;
  };

  const process = async (work: Work, entry: Current): Promise<void> => {
    const { key, abort } = entry;
    const working = setInterval(() => tell(entry.ack, 'working'), WORKING_MS);
    try {
      if (await options.isClosed(key.run)) {
        entry.closed = true;
        return;
      }
      // Killed after it had published: its outputs lie there, and may not be what they were.
      const again = journal.hasBegun(key);
      let end = await remembered(key);
      if (end) metrics.remembered.inc();
      else end = await runWithSpace(again ? { ...work, redone: true } : work, entry);
      if (!end) return;
      entry.phase = 'sending';
      if (await sendEnd(end, () => entry.ack, options.sending, abort.signal)) confirm(key);
    } finally {
      clearInterval(working);
    }
  };

  const enter = (key: WorkKey, ack: string): Current => {
    const since = runOptions.now().toISOString();
    const entry: Current = {
      key,
      since,
      abort: new AbortController(),
      ack,
      phase: 'running',
      closed: false,
      ended: Promise.resolve(),
    };
    current.set(nameOf(key), entry);
    metrics.running.set(current.size);
    return entry;
  };
  const leave = ({ key }: Current): void => {
    current.delete(nameOf(key));
    metrics.running.set(current.size);
  };

  const handle = async (delivery: Delivery): Promise<void> => {
    const work = read(delivery);
    if (!work) {
      const end = notUnderstood(delivery);
      if (end && !stopped) await sendEnd(end, () => delivery.ack, options.sending, AbortSignal.timeout(60_000));
      return tell(delivery.ack, 'never');
    }
    const key: WorkKey = { run: work.run, step: work.step.id, attempt: work.attempt };
    if (stopped) return tell(delivery.ack, 'again');
    const same = current.get(nameOf(key));
    if (same) {
      // The queue had not heard of it for a while: it is answered where it was asked last.
      same.ack = delivery.ack;
      return tell(delivery.ack, 'working');
    }
    const entry = enter(key, delivery.ack);
    entry.ended = process(work, entry)
      .catch((error: unknown) => {
        // A journal or a disk that cannot be read: the work comes again, and so does the error, at the pace of the queue.
        const text = error instanceof FedradError ? error.message : error instanceof Error ? error.stack : error;
        log.error(`${key.step}: ${text}`, { run: key.run });
      })
      .finally(() => leave(entry));
    await entry.ended;
    if (entry.closed) tell(entry.ack, 'never');
    else if (entry.abort.signal.aborted) tell(entry.ack, 'again');
  };

  const abortAll = async (entries: readonly Current[], reason: string): Promise<void> => {
    for (const entry of entries) entry.abort.abort(new Error(reason));
    await Promise.all(entries.map(({ ended }) => ended));
  };

  const giveUp = async (entries: readonly Current[], reason: string): Promise<void> => {
    for (const entry of entries) entry.closed = true;
    await abortAll(entries, reason);
  };

  return {
    handle,
    running: () => [...current.values()].map(({ key, since, phase }) => ({ ...key, since, phase })),
    withdraw: async (keys) => {
      const entries = keys.flatMap((key) => current.get(nameOf(key)) ?? []);
      for (const { key } of entries) log.warn(`${key.step}: stopped, the run goes on without it`, { run: key.run });
      await giveUp(entries, 'the run goes on without it');
    },
    closeRun: async (run) => {
      const entries = [...current.values()].filter(({ key }) => key.run === run);
      await giveUp(entries, 'the run is closed');
      journal.forgetRun(run);
      await options.forgetFiles(run);
    },
    stop: async () => {
      stopped = true;
      await abortAll([...current.values()], 'the agent stops');
    },
  };
}

const nameOf = ({ run, step, attempt }: WorkKey): string => `${run}/${step}/${attempt}`;
