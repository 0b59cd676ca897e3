/**
 * @file The agent's way to the server: one connection at a time, opened again whenever it is lost for good. Reconnecting is the
 * client's; this is for what the client gives up on: a server that was not there at the start, credentials that it refused.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { messageOf, orAborted } from '../base/index.ts';
import type { Log } from './log.ts';

export interface Link {
  /** Connected at this moment, as far as is known. */
  isUp(): boolean;
  /** The connection, as soon as it is connected. Rejects when `signal` ends the wait. */
  connection(signal: AbortSignal): Promise<NatsConnection>;
  /** The open connection, if it is connected. */
  now(): NatsConnection | undefined;
  /** Called after each connection and reconnection, and now where it is connected already. */
  onUp(listener: () => void): void;
  /** Sends what is buffered, at most for {@link CLOSE_TIMEOUT_MS}, and closes. */
  close(): Promise<void>;
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;
const CLOSE_TIMEOUT_MS = 2_000;

/** Opens a link, which goes on until it is closed. */
export function openLink(connect: () => Promise<NatsConnection>, log: Log): Link {
  const closed = new AbortController();
  const listeners: (() => void)[] = [];
  let current: NatsConnection | undefined;
  let up = false;
  let arrived = Promise.withResolvers<NatsConnection>();

  const setUp = (next: boolean): void => {
    if (up === next) return;
    up = next;
    if (up && current) {
      log.info('connected');
      arrived.resolve(current);
      for (const listener of listeners) listener();
      return;
    }
    arrived = Promise.withResolvers();
    if (!closed.signal.aborted) log.warn('connection lost; trying again');
  };
  const follow = async (connection: NatsConnection): Promise<void> => {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect') setUp(false);
      if (type === 'reconnect') setUp(true);
    }
  };
  /** Until closed. */
  const keepOpen = async (): Promise<void> => {
    for (let tries = 0; !closed.signal.aborted; tries++) {
      try {
        const connection = await connect();
        if (closed.signal.aborted) return await connection.close();
        tries = 0;
        current = connection;
        const following = follow(connection);
        setUp(true);
        const reason = await connection.closed();
        await following;
        if (reason && !closed.signal.aborted) log.error(`the server ended the connection: ${messageOf(reason)}`);
      } catch (error) {
        if (!closed.signal.aborted) log.warn(`no connection: ${messageOf(error)}`);
      }
      setUp(false);
      current = undefined;
      const wait = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries, 10));
      await sleep(wait, undefined, { signal: closed.signal }).catch(() => {});
    }
  };
  const kept = keepOpen();

  return {
    isUp: () => up,
    now: () => (up ? current : undefined),
    connection: (signal) => orAborted(arrived.promise, signal),
    onUp: (listener) => {
      listeners.push(listener);
      if (up) listener();
    },
    close: async () => {
      closed.abort();
      const open = current;
      if (open) {
        const timeout = new AbortController();
        const flushed = up ? open.flush().catch(() => {}) : Promise.resolve();
        await Promise.race([flushed, sleep(CLOSE_TIMEOUT_MS, undefined, { signal: timeout.signal }).catch(() => {})]);
        timeout.abort();
        await open.close();
        await kept;
      }
    },
  };
}
