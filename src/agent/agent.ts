/**
 * @file The agent of a hospital: holds one connection to the orchestrator's server, takes work while it has a free place, and says that
 * it lives. It opens no port for anybody outside (health and metrics are for this machine), and what it does for whom is in site-policy.ts.
 */
import type { KeyObject } from 'node:crypto';
import { access, realpath, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import type { SandboxKind } from '../backends/index.ts';
import { fail, messageOf, orAborted } from '../base/index.ts';
import type { Torch } from '../components/index.ts';
import type { Heartbeat } from '../messaging/index.ts';
import { type LocalDatastore, makePrivateFolder, openDirectoryDatastore, tryLock } from '../workspace/index.ts';
import { answer, openQueue } from './deliveries.ts';
import { openDiskSpace } from './disk-space.ts';
import { HEARTBEAT_MS, openHeartbeat } from './heartbeat.ts';
import { openJournal } from './journal.ts';
import { openLink } from './link.ts';
import type { Log } from './log.ts';
import { openMetrics } from './metrics.ts';
import { openObjectCache } from './object-cache.ts';
import { agentPaths } from './paths.ts';
import { removeOld } from './remove-old.ts';
import { entryOf, watchRunEntries } from './run-entries.ts';
import type { RunWorkOptions } from './run-work.ts';
import type { SendEndOptions } from './send-end.ts';
import { type AgentStatus, writeStatus } from './status-file.ts';
import type { Transfer } from './transfer.ts';
import { openAgentVault } from './vault.ts';
import { openWorker } from './worker.ts';

/** What the hospital has of its federation since it joined. */
export interface AgentMembership {
  readonly workspaceName: string;
  readonly compute: string;
  readonly datastores: readonly string[];
  readonly signingKey: KeyObject;
  readonly orchestratorKey: KeyObject;
  connect(name: string): Promise<NatsConnection>;
}

export interface AgentOptions {
  readonly home: string;
  readonly membership: AgentMembership;
  readonly openTransfer: (connection: (signal: AbortSignal) => Promise<NatsConnection>) => Transfer;
  readonly sandbox: SandboxKind;
  /** Which arithmetic the engine has here. */
  readonly kernels: string;
  /** For steps that train in PyTorch. */
  readonly torch?: Torch;
  /** Path of the program that runs a step. */
  readonly stepProgram: string;
  readonly version: string;
  readonly cores: number;
  /** Steps at once; they share the cores. */
  readonly concurrency: number;
  /** Folders that data may be imported from. */
  readonly imports: readonly string[];
  /** Models that are kept, of all open runs. */
  readonly cacheBytes: number;
  /** Where Kaggle's credentials may be sent. */
  readonly kaggleUrl: string;
  readonly log: Log;
  readonly now: () => Date;
}

export interface Agent {
  readonly registry: ReturnType<typeof openMetrics>['registry'];
  /** True, or why it takes no work at this moment. */
  ready(): true | string;
  status(): AgentStatus;
  /** Takes nothing new, finishes what it has, then ends. */
  drain(): void;
  /** Ends now; what runs is stopped and comes again. */
  stop(): Promise<void>;
  /** Settles when it has ended. */
  readonly ended: Promise<void>;
}

const TICK_MS = 1_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 10_000;

/** Starts the agent of a home. @throws FedradError when another one runs there, or an import folder is none */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { home, membership, log, now, concurrency, cores } = options;
  const { compute, signingKey, orchestratorKey } = membership;
  const paths = agentPaths(home);
  const startedAt = now().toISOString();
  await makePrivateFolder(paths.folder);
  const lock =
    tryLock(paths.lock, LOCK_PATIENCE_MS) ??
    fail(`agent of ${home}`, 'another agent runs with this home', 'fedrad agent status; fedrad agent drain');
  const imports = await Promise.all(options.imports.map(importFolder));
  await rm(paths.drain, { force: true });
  await rm(paths.work, { recursive: true, force: true });
  const journal = openJournal(paths.journal);
  await removeOld(paths, journal, now());
  const left = [...journal.unanswered()];
  const datastores = new Map<string, LocalDatastore>();
  for (const name of membership.datastores)
    datastores.set(name, await openDirectoryDatastore(name, paths.datastore(name)));

  log.info(`agent of ${compute} (${membership.workspaceName}): ${concurrency} at once on ${cores} cores`, {
    sandbox: options.sandbox,
    version: options.version,
  });
  const metrics = openMetrics(paths.folder);
  const link = openLink(() => membership.connect(`fedrad agent ${compute}`), log);
  const [stopping, draining] = [new AbortController(), new AbortController()];
  const transfer = options.openTransfer(link.connection);
  const outboxes = new Map<string, Promise<LocalDatastore>>();
  const outboxOf = (run: string): Promise<LocalDatastore> => {
    const opened = outboxes.get(run) ?? openDirectoryDatastore('outbox', paths.outbox(run));
    outboxes.set(run, opened);
    return opened;
  };
  const cache = openObjectCache(paths.cache, options.cacheBytes);
  const usesThreads = options.sandbox === 'bubblewrap';
  const running: RunWorkOptions = {
    ...{ datastores, imports, outboxOf, log, now, clock: () => performance.now() },
    site: { compute, datastores: membership.datastores, kaggleUrl: options.kaggleUrl },
    vault: await openAgentVault(home),
    threads: usesThreads ? Math.max(1, Math.floor(cores / concurrency)) : 1,
    hostOf: (run) => ({
      ...{ sandbox: options.sandbox, stepProgram: options.stepProgram, work: paths.work, logs: paths.runLogs(run) },
      ...(options.torch === undefined ? {} : { torch: options.torch }),
    }),
    takeObject: (run, { sha256, bytes }, signal) =>
      cache.take(run, sha256, bytes, async (path) => {
        const came = await transfer.fetch({ run, sha256, bytes }, path, signal);
        if (came) metrics.received.inc(bytes);
        return came;
      }),
  };
  const sending: SendEndOptions = {
    ...{ link, compute, signingKey, datastores, outboxOf, log },
    transfer: {
      ...transfer,
      send: async (content, path, signal) => {
        await transfer.send(content, path, signal);
        metrics.sent.inc(content.bytes);
      },
    },
  };
  const worker = openWorker({
    ...{ link, compute, signingKey, orchestratorKey, journal, running, sending, metrics, log },
    space: openDiskSpace(paths.folder),
    isClosed: async (run) => {
      const connection = link.now();
      if (!connection) return false;
      return entryOf(connection, run, orchestratorKey).then(
        (entry) => entry?.kind === 'run-closed',
        () => false,
      );
    },
    forgetFiles: async (run) => {
      outboxes.delete(run);
      await cache.forgetRun(run);
      await rm(paths.outbox(run), { recursive: true, force: true });
    },
  });

  let state: Heartbeat['state'] = 'ready';
  const status = (): AgentStatus => ({
    ...{ workspace: membership.workspaceName, compute, datastores: [...membership.datastores] },
    ...{ version: options.version, pid: process.pid, startedAt, at: now().toISOString() },
    ...{ state, connected: link.isUp(), cores, concurrency, sandbox: options.sandbox, kernels: options.kernels },
    ...{ imports: [...options.imports], running: [...worker.running()] },
  });
  const sendHeartbeat = openHeartbeat(link, { compute, signingKey, log });
  const beat = async (): Promise<void> => {
    const { at, version, kernels, sandbox, running: steps } = status();
    const named = steps.map(({ run, step, attempt }) => ({ run, step, attempt }));
    metrics.connected.set(link.isUp() ? 1 : 0);
    await Promise.all([
      sendHeartbeat({ kind: 'heartbeat', compute, at, version, kernels, sandbox, cores, state, running: named }),
      writeStatus(paths.status, status()).catch((error: unknown) =>
        log.warn(`the status file cannot be written: ${messageOf(error)}`),
      ),
    ]);
  };

  const drain = (): void => {
    if (state !== 'ready') return;
    state = 'draining';
    log.info('draining: finishing what runs');
    draining.abort();
    void beat();
  };
  const tick = async (): Promise<void> => {
    const asked = await access(paths.drain).then(
      () => true,
      () => false,
    );
    if (asked) drain();
  };
  const timers = [setInterval(() => void beat(), HEARTBEAT_MS), setInterval(() => void tick(), TICK_MS)];
  link.onUp(() => {
    // What an earlier process of this agent left unanswered comes again now, and not only when the queue has waited for it.
    const connection = link.now();
    for (const ack of left.splice(0)) if (connection) answer(connection, ack, 'again');
    void beat();
  });

  const queues = new WeakMap<NatsConnection, ReturnType<typeof openQueue>>();
  /** One place for a step: takes work and deals with it, until drained. */
  const serve = async (): Promise<void> => {
    const { signal } = draining;
    let complaint = '';
    for (let tries = 0; !signal.aborted; ) {
      try {
        const connection = await link.connection(signal);
        const queue = queues.get(connection) ?? openQueue(connection, compute);
        queues.set(connection, queue);
        const delivery = await queue.next(signal);
        [tries, complaint] = [0, ''];
        if (!delivery) continue;
        await Promise.all([worker.handle(delivery), beat()]);
        await beat();
      } catch (error) {
        if (signal.aborted) return;
        const text = messageOf(error);
        if (text !== complaint) log.warn(`no work can be taken: ${text}`);
        complaint = text;
        const wait = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** tries++);
        await orAborted(sleep(wait), signal).catch(() => {});
      }
    }
  };

  const watching = watchRunEntries({
    ...{ link, orchestratorKey, log, signal: stopping.signal },
    working: () => worker.running().map(({ run }) => run),
    kept: () => journal.runs().map(({ run }) => run),
    onEntry: async (entry) => {
      const { run } = entry;
      if (entry.kind === 'work-withdrawn') {
        const own = entry.work.filter((work) => work.compute === compute);
        return worker.withdraw(own.map(({ step, attempt }) => ({ run, step, attempt })));
      }
      await worker.closeRun(run);
      log.info(`the run is ${entry.status}: its steps are stopped, what was kept for it is forgotten`, { run });
    },
  });
  const serving = Promise.all(Array.from({ length: concurrency }, serve));
  const finish = async (): Promise<void> => {
    await serving;
    stopping.abort();
    await watching;
    for (const timer of timers) clearInterval(timer);
    state = 'stopped';
    await beat();
    await link.close();
    journal.close();
    lock.release();
    log.info('stopped');
  };
  const ended = finish();
  return {
    ...{ registry: metrics.registry, status, drain, ended },
    ready: () => {
      if (state !== 'ready') return state;
      return link.isUp() ? true : 'no connection to the server';
    },
    stop: async () => {
      state = 'draining';
      draining.abort();
      await worker.stop();
      stopping.abort();
      await ended;
    },
  };
}

/** Longer than another process needs to ask whether the agent runs. */
const LOCK_PATIENCE_MS = 200;

async function importFolder(folder: string): Promise<string> {
  try {
    const real = await realpath(folder);
    if ((await stat(real)).isDirectory()) return real;
  } catch (error) {
    return fail(`--import ${folder}`, `it cannot be read: ${messageOf(error)}`, 'name a folder', error);
  }
  return fail(`--import ${folder}`, 'expected a folder, got a file', 'name the folder that it lies in');
}
