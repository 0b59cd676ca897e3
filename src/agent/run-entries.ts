/**
 * @file Which runs were canceled or have ended, and which work is not waited for: asked, since a hospital may not have a consumer. A run
 * that is taken up again is open again, under the same name, so nothing of this is remembered.
 */
import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { messageOf, orAborted } from '../base/index.ts';
import { RUNS_BUCKET, type RunEntry, readKey, runEntrySchema, unseal } from '../messaging/index.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';

/** How often the runs that this hospital works for are asked about, and those that it only keeps something of. */
const [WORKING_MS, KEPT_MS] = [1_000, 10_000];

/** What the orchestrator says of a run: nothing, as a rule, while it is open. @throws when nats-server does not answer, or somebody else sealed it */
export async function entryOf(
  connection: NatsConnection,
  run: string,
  orchestratorKey: KeyObject,
): Promise<RunEntry | undefined> {
  const value = await readKey(connection, RUNS_BUCKET, run);
  if (value === undefined) return undefined;
  const entry = unseal(value, runEntrySchema, orchestratorKey, 'the orchestrator');
  return entry.run === run ? entry : undefined;
}

export interface RunEntriesOptions {
  readonly link: Link;
  readonly orchestratorKey: KeyObject;
  readonly log: Log;
  /** Runs that steps work for now. */
  readonly working: () => readonly string[];
  /** Runs that something is kept of. */
  readonly kept: () => readonly string[];
  readonly onEntry: (entry: RunEntry) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Asks until `signal` comes. */
export async function watchRunEntries(options: RunEntriesOptions): Promise<void> {
  const { link, orchestratorKey, log, working, kept, onEntry, signal } = options;
  let keptAskedAt = Number.NEGATIVE_INFINITY;
  let complaint = '';
  while (!signal.aborted) {
    try {
      const connection = await link.connection(signal);
      const askKept = performance.now() - keptAskedAt > KEPT_MS;
      for (const run of new Set([...working(), ...(askKept ? kept() : [])])) {
        const entry = await entryOf(connection, run, orchestratorKey);
        if (entry) await onEntry(entry);
      }
      if (askKept) keptAskedAt = performance.now();
      complaint = '';
    } catch (error) {
      if (signal.aborted) return;
      const text = messageOf(error);
      if (text !== complaint) log.warn(`cannot hear which runs are closed: ${text}`);
      complaint = text;
    }
    await orAborted(sleep(WORKING_MS), signal).catch(() => {});
  }
}
