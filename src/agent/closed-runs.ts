/** @file Hears which runs were canceled or have ended. */
import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kvm } from '@nats-io/kv';
import { messageOf } from '../base/index.ts';
import { RUNS_BUCKET, type RunClosed, runClosedSchema, unseal } from '../messaging/index.ts';
import { type Link, orAborted } from './link.ts';
import type { Log } from './log.ts';

export interface ClosedRunsOptions {
  readonly link: Link;
  readonly orchestratorKey: KeyObject;
  readonly log: Log;
  readonly onClosed: (closed: RunClosed) => void;
  readonly signal: AbortSignal;
}

const RETRY_MS = 2_000;

/** Watches until `signal` comes, over every connection anew. Tells every closed run at first, then each as it is closed. */
export async function watchClosedRuns({ link, orchestratorKey, log, onClosed, signal }: ClosedRunsOptions) {
  while (!signal.aborted) {
    try {
      const connection = await link.connection(signal);
      const bucket = await new Kvm(connection).open(RUNS_BUCKET, { bindOnly: true });
      const entries = await bucket.watch();
      const stop = (): void => entries.stop();
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      try {
        for await (const { key, value, operation } of entries) {
          if (operation !== 'PUT') continue;
          const closed = read(value, orchestratorKey, log);
          if (closed && closed.run === key) onClosed(closed);
        }
      } finally {
        signal.removeEventListener('abort', stop);
      }
    } catch (error) {
      if (signal.aborted) return;
      log.warn(`cannot hear which runs are closed: ${messageOf(error)}`);
    }
    await orAborted(sleep(RETRY_MS), signal).catch(() => {});
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
