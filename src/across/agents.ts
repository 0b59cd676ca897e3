/** @file Who is there: the hospitals' heartbeats, as they come. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type KvEntry, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { FedradError, messageOf } from '../base/index.ts';
import {
  AGENTS_BUCKET,
  type Federation,
  type Heartbeat,
  heartbeatSchema,
  readKey,
  unseal,
} from '../messaging/index.ts';

const WATCH_AGAIN_MS = 1000;
/** A hospital that has not been heard for so long counts as away. */
export const AWAY_MS = 20_000;

export interface AgentSeen {
  readonly heartbeat: Heartbeat;
  /** Milliseconds of this machine's clock, or of the broker's for the one found at the start. */
  readonly seenAt: number;
}

export interface Agents {
  /** The last heartbeat of a compute. */
  seen(compute: string): AgentSeen | undefined;
  close(): Promise<void>;
}

/**
 * Knows the last heartbeats of these computes from the start.
 *
 * @param onProblem heartbeats that do not verify, and a watch that ended
 */
export async function watchAgents(
  nc: NatsConnection,
  federation: Federation,
  computes: readonly string[],
  now: () => Date,
  onProblem: (text: string) => void,
): Promise<Agents> {
  const last = new Map<string, AgentSeen>();
  const take = async ({ key: compute, value }: KvEntry, seenAt: number): Promise<void> => {
    try {
      const key = (await federation.silo(compute))?.signingKey;
      if (key === undefined) return;
      const heartbeat = unseal(value, heartbeatSchema, key, compute);
      if (heartbeat.compute !== compute) throw new Error(`${compute} speaks for ${heartbeat.compute}`);
      last.set(compute, { heartbeat, seenAt });
    } catch (error) {
      onProblem(messageOf(error));
    }
  };
  const kv = await new Kvm(nc).open(AGENTS_BUCKET);
  for (const compute of computes) {
    const entry = await kv.get(compute);
    if (entry?.operation === 'PUT') await take(entry, entry.created.getTime());
  }
  let watch = await kv.watch({ ignoreDeletes: true });
  let closed = false;
  const look = async (): Promise<void> => {
    for await (const entry of watch) await take(entry, entry.isUpdate ? now().getTime() : entry.created.getTime());
  };
  // Who is no longer watched would count as away for ever.
  const ended = (async () => {
    while (!closed) {
      await look().catch((error: unknown) => onProblem(messageOf(error)));
      if (closed || nc.isClosed()) return;
      onProblem('the watch of heartbeats ended; it begins again');
      await sleep(WATCH_AGAIN_MS);
      const again = await kv.watch({ ignoreDeletes: true }).catch((error: unknown) => onProblem(messageOf(error)));
      if (again) watch = again;
    }
  })();
  return {
    seen: (compute) => last.get(compute),
    close: async () => {
      closed = true;
      watch.stop();
      await ended;
    },
  };
}

/**
 * The last heartbeat of each compute that has sent one: a look, not a watch. One that does not verify says nothing: after a hospital was
 * revoked and has joined anew its last one is under its old key.
 */
export async function lastHeartbeats(
  nc: NatsConnection,
  federation: Federation,
  computes: readonly string[],
): Promise<ReadonlyMap<string, Heartbeat>> {
  const last = new Map<string, Heartbeat>();
  for (const compute of computes) {
    const key = (await federation.silo(compute))?.signingKey;
    const sealed = key && (await readKey(nc, AGENTS_BUCKET, compute));
    if (!key || !sealed) continue;
    try {
      last.set(compute, unseal(sealed, heartbeatSchema, key, compute));
    } catch (error) {
      if (!(error instanceof FedradError)) throw error;
    }
  }
  return last;
}
