/**
 * @file Runs a step where its data lies: sends it to the hospital's agent as work, gives it the models it needs, waits for its end and
 * takes what it left. Steps of the orchestrator's own compute run here.
 *
 * Everything sent is sent again when it may have been lost, and is the same work for who gets it twice.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { messageOf } from '../../base/index.ts';
import {
  type End,
  type Federation,
  MODELS_BUCKET,
  type Objects,
  seal,
  updatesBucket,
  WORK_STREAM,
  type Work,
  workConsumer,
  workSubject,
} from '../../messaging/index.ts';
import type { Graph } from '../../pipelines/index.ts';
import { findDatastore, parseDatastoreUri, type StepOutput, type Workspace } from '../../workspace/index.ts';
import type { Attempt, AttemptEnd, Executor } from '../executor.ts';
import { type Agents, AWAY_MS } from './agents.ts';
import { isGivenUp, quorumOf } from './deadline.ts';
import type { Ends } from './ends.ts';
import { patiently } from './patiently.ts';

export interface NatsExecutorOptions {
  readonly runId: string;
  readonly graph: Graph;
  readonly workspace: Workspace;
  readonly federation: Federation;
  readonly nc: NatsConnection;
  readonly objects: Objects;
  readonly agents: Agents;
  readonly ends: Ends;
  /** For the orchestrator's own steps. */
  readonly local: Executor;
  /** Folder for what is being fetched. */
  readonly work: string;
  readonly now: () => Date;
}

/** How often a waiting step looks at the clock and at the hospital. */
const LOOK_MS = 500;
/** Work is sent again when the hospital has been free for so long without an answer. */
const RESEND_MS = 30_000;
const DEFAULT_DEADLINE_SECONDS = 24 * 3600;

export function natsExecutor(options: NatsExecutorOptions): Executor {
  const { local, workspace } = options;
  const isHere = (compute: string): boolean => workspace.computes.get(compute)?.role === 'orchestrator';
  const sent = new Map<string, Promise<void>>();
  const begunAt = options.now();
  return {
    sandbox: local.sandbox,
    cores: local.cores,
    threadsFor: (step, ready, running) =>
      isHere(step.compute)
        ? local.threadsFor(
            step,
            ready,
            running.filter((each) => isHere(each.step.compute)),
          )
        : 1,
    run: (attempt) =>
      isHere(attempt.step.compute) ? local.run(attempt) : runAtHospital(options, attempt, sent, begunAt),
    // What a hospital keeps only its agent can see: it says so when a step needs it.
    isIntact: async (output) => (isOwn(workspace, output.path) ? local.isIntact(output) : true),
  };
}

/** Whether a path lies in a datastore of the orchestrator. */
function isOwn(workspace: Workspace, uri: string): boolean {
  const { datastore } = parseDatastoreUri(uri);
  return [...workspace.computes.values()].some(
    ({ role, datastores }) => role === 'orchestrator' && datastores.includes(datastore),
  );
}

async function runAtHospital(
  options: NatsExecutorOptions,
  attempt: Attempt,
  sent: Map<string, Promise<void>>,
  begunAt: Date,
): Promise<AttemptEnd> {
  const { federation, runId } = options;
  const { step, signal } = attempt;
  const { compute } = step;
  const { state = 'not invited', reason } = (await federation.silo(compute)) ?? {};
  if (state !== 'joined')
    return refused(`${compute} is ${state}${reason === undefined ? '' : `: ${reason}`} (fedrad silo list)`);
  const over = new AbortController();
  const stopped = AbortSignal.any([signal, over.signal]);
  try {
    const inputs = await inputsOf(options, attempt, sent, stopped);
    if (Array.isArray(inputs)) return { kind: 'inputs-lost', inputs };
    const used = new Map(sent);
    const work: Work = { kind: 'work', run: runId, attempt: attempt.attempt, step, inputs, redone: attempt.redone };
    const answer = options.ends.of(compute, step.id, attempt.attempt, stopped);
    // Nobody looks at it before the watch below has ended.
    answer.catch(() => {});
    const late = watch(options, attempt, work, begunAt, stopped);
    const end = await Promise.race([answer, late]);
    if (typeof end === 'string') return refused(end);
    if (end.end.kind === 'inputs-lost') return await sendAgain(options, end.end.inputs, inputs, sent, used);
    return await take(options, attempt, end, stopped);
  } catch (error) {
    if (signal.aborted) return { kind: 'aborted' };
    throw error;
  } finally {
    over.abort();
  }
}

const refused = (error: string): AttemptEnd => ({ kind: 'refused', error, logTail: [] });

/** The inputs that earlier steps left, models of the orchestrator sent on their way; names of those that are gone, if any. */
async function inputsOf(
  { objects, runId, workspace, local }: NatsExecutorOptions,
  { step, inputs, finished }: Attempt,
  sent: Map<string, Promise<void>>,
  signal: AbortSignal,
): Promise<Record<string, StepOutput> | string[]> {
  const given: Record<string, StepOutput> = {};
  const gone: string[] = [];
  for (const name of inputs) {
    const input = step.inputs[name]!;
    if (input.from !== 'step') continue;
    const output = finished.get(input.step)![input.output]!;
    given[name] = output;
    if (!isOwn(workspace, output.path)) continue;
    const at = parseDatastoreUri(output.path);
    const path = findDatastore(workspace, at.datastore, step.id).localPath(at.path);
    // The hospitals of a round need the same model: it is sent once.
    let sending = sent.get(output.sha256);
    if (sending === undefined) {
      sending = local.isIntact(output).then((intact) => {
        if (!intact) throw new InputGone();
        return patiently(step.id, () => objects.put(MODELS_BUCKET, runId, path, output, { signal }), signal);
      });
      sent.set(output.sha256, sending);
      sending.catch(() => sent.delete(output.sha256));
    }
    await sending.catch((error: unknown) => {
      if (!(error instanceof InputGone)) throw error;
      gone.push(name);
    });
  }
  return gone.length > 0 ? gone : given;
}

class InputGone extends Error {}

/** Inputs did not reach the hospital whole. A model of the orchestrator is sent anew; what the hospital lost of its own is made anew. */
async function sendAgain(
  { objects, runId, workspace }: NatsExecutorOptions,
  names: readonly string[],
  inputs: Readonly<Record<string, StepOutput>>,
  sent: Map<string, Promise<void>>,
  /** As it was when the work was sent. */
  used: ReadonlyMap<string, Promise<void>>,
): Promise<AttemptEnd> {
  const [own, theirs]: [StepOutput[], string[]] = [[], []];
  for (const name of names) {
    const input = inputs[name];
    if (input && isOwn(workspace, input.path)) own.push(input);
    else theirs.push(name);
  }
  for (const { sha256 } of own) {
    // Another hospital of the round may have said so first: then it is on its way again.
    if (sent.get(sha256) !== used.get(sha256)) continue;
    sent.delete(sha256);
    await objects.forget(MODELS_BUCKET, runId, sha256);
  }
  if (theirs.length > 0) return { kind: 'inputs-lost', inputs: theirs };
  const error = 'a model did not reach the hospital whole; it is sent again';
  return { kind: 'crashed', error, logTail: [], here: true };
}

/**
 * Sends the work, and again when it may have been lost; says while the hospital is away; ends with the reason to go on without it.
 */
async function watch(
  { nc, federation, agents, graph, runId, now }: NatsExecutorOptions,
  { step, attempt, startedAt, finished, onWaiting }: Attempt,
  work: Work,
  begunAt: Date,
  signal: AbortSignal,
): Promise<string> {
  const { compute, round } = step;
  const { deadline_seconds: seconds = DEFAULT_DEADLINE_SECONDS, late_updates: late = 'drop' } = round ?? {};
  const quorum = quorumOf(graph, step);
  const bytes = seal(work, federation.signingKey);
  // While nobody ran the run no hospital could be late.
  const since = Math.max(startedAt.getTime(), begunAt.getTime());
  /** Of what was sent, in the queue. */
  const sequences: number[] = [];
  const send = async (count: number): Promise<void> => {
    const { seq } = await patiently(
      step.id,
      () => {
        const head = headers();
        // The same within a run's crash and restart; another for each time that it is sent again on purpose.
        head.set('Nats-Msg-Id', `${runId}.${step.id}.${attempt}.${count}`);
        return jetstream(nc).publish(workSubject(compute, runId), bytes, { headers: head });
      },
      signal,
    );
    sequences.push(seq);
  };
  await send(0);
  let [sendings, freeSince] = [1, Number.POSITIVE_INFINITY];
  let waiting: string | undefined;
  for (;;) {
    await pause(signal);
    const at = now().getTime();
    const state = (await federation.silo(compute))?.state;
    if (state !== 'joined') return `${compute} is ${state} (fedrad silo list)`;
    if (at - since > seconds * 1000 && isGivenUp(late, quorum, (id) => finished.has(id))) {
      await withdraw(nc, sequences);
      return `no result of ${compute} within ${seconds} s; the round goes on without it`;
    }
    const seen = agents.seen(compute);
    const away = seen === undefined || at - seen.seenAt > AWAY_MS || seen.heartbeat.state === 'stopped';
    const reason = !away
      ? undefined
      : seen === undefined
        ? `${compute} has not connected yet (fedrad agent, at the hospital)`
        : `${compute} was last heard of ${new Date(seen.seenAt).toISOString()}`;
    if (reason !== waiting) onWaiting(reason);
    waiting = reason;
    const busy = away || seen.heartbeat.running.length > 0;
    if (busy) freeSince = Number.POSITIVE_INFINITY;
    else freeSince = Math.min(freeSince, at);
    if (at - freeSince < RESEND_MS || (await isQueued(nc, compute))) continue;
    freeSince = Number.POSITIVE_INFINITY;
    await send(sendings++);
  }
}

/** Work that nobody waits for must not keep the hospital from what comes next. */
async function withdraw(nc: NatsConnection, sequences: readonly number[]): Promise<void> {
  const { streams } = await jetstreamManager(nc);
  // What was taken and answered is gone already.
  for (const sequence of sequences) await streams.deleteMessage(WORK_STREAM, sequence).catch(() => {});
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, LOOK_MS);
    signal.addEventListener('abort', abort, { once: true });
  });
}

/** Whether anything for this hospital is still queued, or given out and not done; unknown counts as queued. */
async function isQueued(nc: NatsConnection, compute: string): Promise<boolean> {
  try {
    const { num_pending, num_ack_pending } = await (await jetstreamManager(nc)).consumers.info(
      WORK_STREAM,
      workConsumer(compute),
    );
    return num_pending + num_ack_pending > 0;
  } catch {
    return true;
  }
}

/** Takes an end: its figures, and its outputs into the orchestrator's datastore where they belong there. */
async function take(
  { objects, runId, workspace, work }: NatsExecutorOptions,
  { step, attempt, redone, onMessage }: Attempt,
  { end, messages }: End,
  signal: AbortSignal,
): Promise<AttemptEnd> {
  for (const message of messages) onMessage(message);
  if (end.kind !== 'completed') return end;
  const outputs: Record<string, StepOutput> = {};
  for (const [name, template] of Object.entries(step.outputs)) {
    // Where it goes is said by the graph, not by the hospital.
    const path = template.replaceAll('${{name}}', runId);
    const given = end.outputs[name];
    if (given === undefined || given.path !== path)
      return refused(`${step.compute} gave no output "${name}" at ${path}`);
    outputs[name] = given;
    if (!isOwn(workspace, path)) continue;
    const folder = join(work, `${step.id}.${attempt}`);
    await mkdir(folder, { recursive: true });
    const here = join(folder, name);
    try {
      await patiently(step.id, () => objects.get(updatesBucket(step.compute), runId, given, here, { signal }), signal);
      const at = parseDatastoreUri(path);
      const datastore = findDatastore(workspace, at.datastore, step.id);
      const { sha256, bytes } = await datastore.publish(here, at.path, { replace: step.replace || redone });
      if (sha256 !== given.sha256) return { kind: 'crashed', error: `"${name}" changed on its way`, logTail: [] };
      outputs[name] = { path, sha256, bytes };
    } catch (error) {
      signal.throwIfAborted();
      const text = `fetching "${name}" of ${step.compute}: ${messageOf(error)}`;
      return { kind: 'crashed', error: text, logTail: [], here: true };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return { kind: 'completed', outputs };
}
