/**
 * @file Runs a step where its data lies: sends it to the hospital's agent as work, gives it the models it needs, waits for its end and
 * takes what it left. Steps of the orchestrator's own compute run here.
 *
 * Everything sent is sent again when it may have been lost, and is the same work for who gets it twice.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { JetStreamApiError, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import type { Attempt, AttemptEnd, Executor } from '../backends/index.ts';
import { messageOf, orAborted } from '../base/index.ts';
import {
  type End,
  type Federation,
  type Heartbeat,
  MODELS_BUCKET,
  type Objects,
  RUNS_BUCKET,
  type RunEntry,
  seal,
  updatesBucket,
  WORK_STREAM,
  type Work,
  workConsumer,
  workSubject,
} from '../messaging/index.ts';
import type { Graph, Step } from '../pipelines/index.ts';
import { findDatastore, parseDatastoreUri, type StepOutput, type Workspace } from '../workspace/index.ts';
import { type Agents, AWAY_MS } from './agents.ts';
import { isGivenUp, quorumOf } from './deadline.ts';
import type { Ends } from './ends.ts';
import { mostBytes } from './most-bytes.ts';
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
  /** Ends the run: what hospitals share goes on while one of them is given up. */
  readonly signal: AbortSignal;
}

/** How often a waiting step looks at the clock and at the hospital. */
const LOOK_MS = 1_000;
/** Work is sent again when it is neither queued nor at the hospital for so long, without an answer. */
const RESEND_MS = 30_000;
const DEFAULT_DEADLINE_SECONDS = 24 * 3600;

/** An executor that sends to hospitals; closed, nothing of it is on its way any more. */
export type NatsExecutor = Executor & { close(): Promise<void> };

export function natsExecutor(given: NatsExecutorOptions): NatsExecutor {
  const closing = new AbortController();
  const options = { ...given, signal: AbortSignal.any([given.signal, closing.signal]) };
  const { local, workspace } = options;
  const isHere = (compute: string): boolean => workspace.computes.get(compute)?.role === 'orchestrator';
  const sent = new Map<string, Promise<void>>();
  const withdraw = openWithdrawal(options);
  const begunAt = options.now();
  return {
    sandbox: local.sandbox,
    cores: local.cores,
    threadsFor: (step, ready, running) =>
      isHere(step.compute)
        ? local.threadsFor(
            step,
            ready.filter((each) => isHere(each.compute)),
            running.filter((each) => isHere(each.step.compute)),
          )
        : 1,
    run: (attempt) =>
      isHere(attempt.step.compute)
        ? local.run(attempt)
        : runAtHospital({ ...options, withdraw }, attempt, sent, begunAt),
    // What a hospital keeps only its agent can see: it says so when a step needs it.
    isIntact: async (output) => (isOwn(workspace, output.path) ? local.isIntact(output) : true),
    // A model that still goes out when its run is closed would leave pieces behind that look like a whole one.
    close: async () => {
      closing.abort();
      await Promise.allSettled(sent.values());
    },
  };
}

/** Whether a path lies in a datastore of the orchestrator. */
function isOwn(workspace: Workspace, uri: string): boolean {
  const { datastore } = parseDatastoreUri(uri);
  return [...workspace.computes.values()].some(
    ({ role, datastores }) => role === 'orchestrator' && datastores.includes(datastore),
  );
}

interface HospitalOptions extends NatsExecutorOptions {
  readonly withdraw: ReturnType<typeof openWithdrawal>;
}

async function runAtHospital(
  options: HospitalOptions,
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
  { objects, runId, workspace, local, signal: runSignal }: NatsExecutorOptions,
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
        const put = () => objects.put(MODELS_BUCKET, runId, path, output, { signal: runSignal });
        return patiently(step.id, put, runSignal);
      });
      sent.set(output.sha256, sending);
      sending.catch(() => sent.delete(output.sha256));
    }
    await orAborted(sending, signal).catch((error: unknown) => {
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
  { nc, federation, agents, graph, runId, now, withdraw }: HospitalOptions,
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
  let [sendings, lostSince] = [1, Number.POSITIVE_INFINITY];
  let waiting: string | undefined;
  for (;;) {
    await pause(signal);
    const at = now().getTime();
    const state = (await federation.silo(compute))?.state;
    if (state !== 'joined') {
      await withdraw({ compute, step: step.id, attempt }, sequences, signal);
      return `${compute} is ${state} (fedrad silo list)`;
    }
    if (at - since > seconds * 1000 && isGivenUp(late, quorum, (id) => finished.has(id))) {
      await withdraw({ compute, step: step.id, attempt }, sequences, signal);
      return `no result of ${compute} within ${seconds} s; the round goes on without it`;
    }
    const seen = agents.seen(compute);
    const away = seen === undefined || at - seen.seenAt > AWAY_MS || seen.heartbeat.state === 'stopped';
    const reason = !away
      ? undefined
      : seen === undefined
        ? `${compute} has not connected yet (fedrad agent, at the hospital)`
        : seen.heartbeat.state === 'stopped'
          ? `the agent of ${compute} has been stopped there (fedrad agent starts it)`
          : `${compute} was last heard of ${new Date(seen.seenAt).toISOString()}`;
    if (reason !== waiting) onWaiting(reason);
    waiting = reason;
    const has = ({ running }: Heartbeat): boolean =>
      running.some((each) => each.run === runId && each.step === step.id && each.attempt === attempt);
    if (away || has(seen.heartbeat)) lostSince = Number.POSITIVE_INFINITY;
    else lostSince = Math.min(lostSince, at);
    if (at - lostSince < RESEND_MS) continue;
    lostSince = Number.POSITIVE_INFINITY;
    if (await isQueued(nc, { compute, run: runId }, sequences)) continue;
    await send(sendings++);
  }
}

/** Work that nobody waits for must not keep the hospital from what comes next: it is taken from the queue, and the hospital told to stop it. */
function openWithdrawal({ nc, federation, runId }: NatsExecutorOptions) {
  const work: { compute: string; step: string; attempt: number }[] = [];
  return async (late: (typeof work)[number], sequences: readonly number[], signal: AbortSignal): Promise<void> => {
    work.push(late);
    const entry: RunEntry = { kind: 'work-withdrawn', run: runId, work };
    const tell = async () => {
      await (await new Kvm(nc).open(RUNS_BUCKET)).put(runId, seal(entry, federation.signingKey));
      const { streams } = await jetstreamManager(nc);
      // What was taken and answered is gone already.
      for (const sequence of sequences) await streams.deleteMessage(WORK_STREAM, sequence).catch(unlessGone);
    };
    await patiently(late.step, tell, signal);
  };
}

function unlessGone(error: unknown): void {
  if (!(error instanceof JetStreamApiError)) throw error;
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

/** Whether one of these messages is still queued, or given out and not done; unknown counts as queued. */
async function isQueued(nc: NatsConnection, work: { compute: string; run: string }, sequences: readonly number[]) {
  try {
    const { streams, consumers } = await jetstreamManager(nc);
    const { ack_floor: floor } = await consumers.info(WORK_STREAM, workConsumer(work.compute));
    for (const seq of sequences) {
      const message = await streams.getMessage(WORK_STREAM, { seq });
      // A stream that was lost and made anew counts from 1 again.
      if (message?.subject !== workSubject(work.compute, work.run)) continue;
      // Up to its floor the hospital's consumer waits for no answer: what still lies there was passed, and is never given out.
      if (seq > floor.stream_seq) return true;
    }
    return false;
  } catch {
    return true;
  }
}

/** Takes an end: its figures, and its outputs into the orchestrator's datastore where they belong there. */
async function take(
  { objects, runId, workspace, work }: NatsExecutorOptions,
  { step, attempt, redone, onMessage, inputs, finished }: Attempt,
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
    const most = mostBytes(inputsFrom(step, inputs, finished).filter((given) => isOwn(workspace, given.path)));
    if (given.bytes > most)
      return refused(`"${name}" of ${step.compute} has ${given.bytes} bytes; at most ${most} are taken`);
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

/** What earlier steps left for these inputs. */
const inputsFrom = (step: Step, inputs: readonly string[], finished: Attempt['finished']): readonly StepOutput[] =>
  inputs.flatMap((name) => {
    const input = step.inputs[name]!;
    return input.from === 'step' ? [finished.get(input.step)![input.output]!] : [];
  });
