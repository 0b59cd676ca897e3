/** @file Hears which runs were canceled or have ended. */
import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../base/index.ts';
import { nextEntry, RUNS_BUCKET, type RunClosed, runClosedSchema, unseal } from '../messaging/index.ts';
import { type Link, orAborted } from './link.ts';
import type { Log } from './log.ts';

export interface ClosedRunsOptions {
  readonly link: Link;
  readonly orchestratorKey: KeyObject;
  readonly log: Log;
  readonly onClosed: (closed: RunClosed) => void;
  readonly signal: AbortSignal;
}

const LOOK_MS = 2_000;

/** Looks every two seconds until `signal` comes, over whichever connection there is. Tells every closed run at first, then each as it is closed. */
export async function watchClosedRuns({ link, orchestratorKey, log, onClosed, signal }: ClosedRunsOptions) {
  let sequence = 0;
  while (!signal.aborted) {
    try {
      const connection = await link.connection(signal);
      for (;;) {
        const entry = await nextEntry(connection, RUNS_BUCKET, sequence);
        if (entry === undefined || signal.aborted) break;
        sequence = entry.sequence;
        if (entry.value.length === 0) continue;
        const closed = read(entry.value, orchestratorKey, log);
        if (closed && closed.run === entry.key) onClosed(closed);
      }
    } catch (error) {
      if (signal.aborted) return;
      log.warn(`cannot hear which runs are closed: ${messageOf(error)}`);
    }
    await orAborted(sleep(LOOK_MS), signal).catch(() => {});
  }
}

function read(value: Uint8Array, orchestratorKey: KeyObject, log: Log): RunClosed | undefined {
  try {
    return unseal(value, runClosedSchema, orchestratorKey, 'the orchestrator');
  } catch (error) {
    log.warn(messageOf(error));
    return undefined;
  }
}
