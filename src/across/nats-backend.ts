/** @file The backend across hospitals: steps run by their agents, over NATS JetStream. */
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { JetStreamApiError, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import {
  type Backend,
  type LocalBackendOptions,
  type Outcome,
  openLocalExecutor,
  type RunUpdate,
  runGraph,
} from '../backends/index.ts';
import { messageOf, printable } from '../base/index.ts';
import {
  endSubject,
  endsStream,
  type Federation,
  MODELS_BUCKET,
  openObjects,
  RUNS_BUCKET,
  type RunEntry,
  seal,
  talkSchema,
  talkSubject,
  unseal,
  updatesBucket,
  WORK_STREAM,
  workSubject,
} from '../messaging/index.ts';
import type { Graph } from '../pipelines/index.ts';
import { watchAgents } from './agents.ts';
import { openEnds } from './ends.ts';
import { natsExecutor } from './nats-executor.ts';
import { patiently } from './patiently.ts';
import { prepareStreams } from './streams.ts';
import { suspendFailing } from './suspension.ts';

/** A transfer that nothing moves for so long is given up; the step is then tried again. */
const OBJECT_IDLE_MS = 10 * 60_000;

export interface NatsBackendOptions extends LocalBackendOptions {
  readonly federation: Federation;
  readonly nc: NatsConnection;
  /** Lines for the operator: messages that do not verify, hospitals that are suspended. */
  readonly onProblem: (text: string) => void;
}

export function natsBackend(options: NatsBackendOptions): Backend {
  return { execute: (runId, graph, hooks) => execute(options, runId, graph, hooks) };
}

interface Hooks {
  readonly signal: AbortSignal;
  readonly onUpdate: (update: RunUpdate) => void;
}

async function execute(options: NatsBackendOptions, runId: string, graph: Graph, hooks: Hooks): Promise<Outcome> {
  const { nc, federation, workspace, history, kernels, now, onProblem } = options;
  const silos = [...workspace.computes.values()].filter(({ role }) => role === 'silo').map(({ name }) => name);
  const folder = options.runFolder(runId);
  const local = await openLocalExecutor(options, folder);
  const open: { close(): Promise<void> }[] = [local];
  try {
    const prepare = async () => {
      await prepareStreams(nc, silos);
      await (await new Kvm(nc).open(RUNS_BUCKET)).delete(runId);
      return watchAgents(nc, federation, silos, now, onProblem);
    };
    const agents = await patiently('nats-server', prepare, hooks.signal, onProblem);
    open.push(agents);
    const ends = openEnds(nc, federation, { run: runId, graph }, onProblem);
    open.push(ends);
    open.push(listen(nc, federation, graph, runId, join(folder, 'logs'), hooks.onUpdate));
    const work = join(folder, 'fetched');
    await rm(work, { recursive: true, force: true });
    await mkdir(work, { recursive: true });
    const objects = openObjects(nc, { idleTimeoutMs: OBJECT_IDLE_MS });
    const executor = natsExecutor({
      ...{ runId, graph, workspace, federation, nc, objects, agents, ends, local, work, now },
      signal: hooks.signal,
    });
    open.push(executor);
    const outcome = await runGraph(
      { history, runId, graph, ...(kernels === undefined ? {} : { kernels }), now, ...hooks },
      suspendFailing(executor, { graph, federation, events: () => history.events(runId), onProblem }),
    );
    await executor.close();
    if (outcome.status !== 'INTERRUPTED') await closeRun(options, runId, silos, outcome.status);
    return outcome;
  } finally {
    for (const each of open.reverse()) await each.close();
  }
}

/** Tells the hospitals that the run is over, and removes what JetStream keeps of it. The models are in the datastores. */
async function closeRun(
  { nc, federation, onProblem }: Pick<NatsBackendOptions, 'nc' | 'federation' | 'onProblem'>,
  run: string,
  silos: readonly string[],
  status: string,
): Promise<void> {
  try {
    const jsm = await jetstreamManager(nc);
    for (const silo of silos) await removeWork(jsm, workSubject(silo, run));
    const closed: RunEntry = { kind: 'run-closed', run, status };
    await (await new Kvm(nc).open(RUNS_BUCKET)).put(run, seal(closed, federation.signingKey));
    const objects = openObjects(nc);
    for (const bucket of [MODELS_BUCKET, ...silos.map(updatesBucket)]) await objects.forget(bucket, run);
    for (const silo of silos) await jsm.streams.purge(endsStream(silo), { filter: endSubject(silo, run) });
  } catch (error) {
    onProblem(`run ${run} has ended, but what nats-server keeps of it could not be removed: ${messageOf(error)}`);
  }
}

/**
 * Takes what is queued under a subject out of the work queue, message by message: a purge with a filter moves the hospital's consumer past
 * the work of other runs (nats-server 2.9), which then lies in the queue for ever.
 */
async function removeWork({ streams }: JetStreamManager, subject: string): Promise<void> {
  // Who publishes meanwhile has not heard that the run is over; it must not keep this one.
  const { last_seq } = (await streams.info(WORK_STREAM)).state;
  for (let seq = 1; seq <= last_seq; ) {
    // The client's type leaves the subject out; nats-server takes it from 2.9 on.
    const next = { seq, next_by_subj: subject };
    const message = await streams.getMessage(WORK_STREAM, next);
    if (!message || message.seq > last_seq) return;
    seq = message.seq + 1;
    // Taken and answered in between: it is gone already.
    await streams.deleteMessage(WORK_STREAM, message.seq).catch((error: unknown) => {
      if (!(error instanceof JetStreamApiError)) throw error;
    });
  }
}

/**
 * Closes runs that have ended but of which nats-server still keeps something: whoever ran them was killed in between. Safe to run again.
 *
 * @param ended status of each run that is over, by id
 */
export async function closeEndedRuns(
  options: Pick<NatsBackendOptions, 'nc' | 'federation' | 'onProblem'>,
  silos: readonly string[],
  ended: ReadonlyMap<string, string>,
): Promise<void> {
  const jsm = await jetstreamManager(options.nc);
  const kept = new Set<string>();
  for (const stream of [
    WORK_STREAM,
    ...silos.map(endsStream),
    ...[MODELS_BUCKET, ...silos.map(updatesBucket)].map(bucketStream),
  ]) {
    const { state } = await jsm.streams.info(stream, { subjects_filter: '>' });
    for (const subject of Object.keys(state.subjects ?? {})) kept.add(runOf(subject));
  }
  for (const [run, status] of ended) if (kept.has(run)) await closeRun(options, run, silos, status);
}

const bucketStream = (bucket: string): string => `OBJ_${bucket}`;

/** `fedrad.work.<compute>.<run>`, `fedrad.ends.<compute>.<run>`, `$O.<bucket>.C.<run>.…`, `$O.<bucket>.M.<base64url of run.hash>` */
function runOf(subject: string): string {
  const [first, , kind, name = ''] = subject.split('.');
  return first === '$O' && kind === 'M' ? Buffer.from(name, 'base64url').toString('utf8').split('.')[0]! : name;
}

/** Characters of hospitals' notes that a run keeps here. */
const NOTES_LIMIT = 50_000_000;

/** What the steps say while they run: progress for whoever looks, the rest into the run's logs. */
function listen(
  nc: NatsConnection,
  federation: Federation,
  graph: Graph,
  run: string,
  logs: string,
  onUpdate: (update: RunUpdate) => void,
): { close(): Promise<void> } {
  const steps = new Map(graph.steps.map((step) => [step.id, step]));
  const subscription = nc.subscribe(talkSubject('*', run));
  let noted = 0;
  const ended = (async () => {
    for await (const { subject, data } of subscription) {
      const compute = subject.split('.')[2]!;
      // Only talk: what does not verify is not worth a word.
      const talk = await federation
        .silo(compute)
        .then(
          (silo) => silo?.signingKey && unseal(data, talkSchema, silo.signingKey, compute),
          () => undefined,
        )
        .catch(() => undefined);
      const step = talk && steps.get(talk.step);
      if (!talk || step?.compute !== compute || talk.run !== run) continue;
      const { message } = talk;
      if (message.type === 'progress') {
        const { type: _type, ...progress } = message;
        onUpdate({ kind: 'progress', step, ...progress });
      } else if (message.type === 'note') {
        const line = `${printable(message.text)}\n`;
        noted += line.length;
        // A log that cannot be written must not end a run.
        if (noted < NOTES_LIMIT) await appendFile(join(logs, `${step.id}.log`), line).catch(() => {});
      }
    }
  })();
  return {
    close: async () => {
      subscription.unsubscribe();
      await ended;
    },
  };
}
