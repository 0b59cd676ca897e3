/** @file What an agent says of itself every few seconds: the last word of each compute, in a key-value bucket. */
import type { KeyObject } from 'node:crypto';
import { jetstream } from '@nats-io/jetstream';
import { messageOf } from '../base/index.ts';
import { AGENTS_BUCKET, type Heartbeat, seal } from '../messaging/index.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';

export const HEARTBEAT_MS = 5_000;

/** Sends heartbeats one after another, none while there is no connection. Never throws: the next one says the same. */
export function openHeartbeat(
  link: Link,
  { compute, signingKey, log }: { compute: string; signingKey: KeyObject; log: Log },
) {
  let failing = false;
  let waiting: Heartbeat | undefined;
  let sending: Promise<void> | undefined;
  const send = async (heartbeat: Heartbeat): Promise<void> => {
    const connection = link.now();
    if (!connection) return;
    try {
      await jetstream(connection).publish(`$KV.${AGENTS_BUCKET}.${compute}`, seal(heartbeat, signingKey));
      failing = false;
    } catch (error) {
      if (!failing) log.warn(`the heartbeat did not arrive: ${messageOf(error)}`);
      failing = true;
    }
  };
  /** Until none waits; each round takes at most as long as one publish may. */
  const sendAll = async (): Promise<void> => {
    for (let next = waiting; next; next = waiting) {
      waiting = undefined;
      await send(next);
    }
    sending = undefined;
  };
  return (heartbeat: Heartbeat): Promise<void> => {
    // Only the last word counts.
    waiting = heartbeat;
    sending ??= sendAll();
    return sending;
  };
}
