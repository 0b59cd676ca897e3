/** @file What an agent says of itself every few seconds: the last word of each compute, in a key-value bucket. */
import type { KeyObject } from 'node:crypto';
import { jetstream } from '@nats-io/jetstream';
import { messageOf } from '../base/index.ts';
import { AGENTS_BUCKET, type Heartbeat, seal } from '../messaging/index.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';

export const HEARTBEAT_MS = 5_000;

/** Sends the heartbeat that `describe` gives now, unless there is no connection. Never throws: the next one says the same. */
export function openHeartbeat(
  link: Link,
  { compute, signingKey, log }: { compute: string; signingKey: KeyObject; log: Log },
) {
  let under = false;
  let failing = false;
  return async (heartbeat: Heartbeat): Promise<void> => {
    const connection = link.now();
    if (!connection || under) return;
    under = true;
    try {
      await jetstream(connection).publish(`$KV.${AGENTS_BUCKET}.${compute}`, seal(heartbeat, signingKey));
      failing = false;
    } catch (error) {
      if (!failing) log.warn(`the heartbeat did not arrive: ${messageOf(error)}`);
      failing = true;
    } finally {
      under = false;
    }
  };
}
