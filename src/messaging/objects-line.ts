/**
 * @file Requests to JetStream that survive a lost connection and a restarted server. What bounds them is the time without any progress, not
 * the time that they take: a slow link is no error.
 */
import type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { NoRespondersError, PermissionViolationError, RequestError, TimeoutError } from '@nats-io/transport-node';
import { z } from 'zod';
import { FedradError, fail, messageOf } from '../base/index.ts';

/** Between two attempts while the server says that nobody is there to answer, ms: it is starting. */
const RETRY_MS = 100;

/** Tells whoever waits for an answer that a lost connection may have taken it along. */
export interface Reconnects {
  /** Calls back at each reconnection, until the returned function is called. */
  watch(onReconnect: () => void): () => void;
}

/** Watches a connection until it is closed. */
export function watchReconnects(nc: NatsConnection): Reconnects {
  const watchers = new Set<() => void>();
  const tell = async (): Promise<void> => {
    for await (const { type } of nc.status()) {
      if (type === 'reconnect') for (const onReconnect of [...watchers]) onReconnect();
    }
  };
  void tell();
  return {
    watch: (onReconnect) => {
      watchers.add(onReconnect);
      return () => void watchers.delete(onReconnect);
    },
  };
}

export interface LineOptions {
  /** What is under way, for errors: the object or the bucket. */
  readonly where: string;
  /** Fails when nothing moved for so long, ms; after half of it what is under way is asked once more, in case an answer was lost. */
  readonly idleTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The connection was lost, an answer does not come, or the server is starting: what was under way must be looked at anew. */
export class Interrupted extends Error {}

export interface Line extends Disposable {
  /** One request. Throws {@link Interrupted} when there may never be an answer, FedradError when it is no use to go on. */
  once(subject: string, data: Uint8Array | string, headers?: MsgHdrs): Promise<Msg>;
  /** The same, asked again after an interruption: for what may be done twice. */
  ask(subject: string, data: Uint8Array | string): Promise<Msg>;
  /** After an interruption: returns when it makes sense to try again. */
  pause(): Promise<void>;
  /** Something came through. */
  moved(): void;
}

export function openLine(nc: NatsConnection, reconnects: Reconnects, options: LineOptions): Line {
  const { where, idleTimeoutMs, signal } = options;
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  let lastMoved = performance.now();
  // A server that starts, or has no such bucket, says nothing at all.
  let last = 'no answer; is there such a bucket?';
  const pending = new Set<() => void>();
  let askedAgain = false;
  const check = (): void => {
    if (signal?.aborted) ended.reject(signal.reason);
    const idleMs = performance.now() - lastMoved;
    if (idleMs >= idleTimeoutMs / 2 && !askedAgain) {
      askedAgain = true;
      for (const interrupt of [...pending]) interrupt();
    }
    if (idleMs < idleTimeoutMs) return;
    ended.reject(
      new FedradError({
        where,
        problem: `nothing moved for ${Math.round(idleMs / 1000)} s (${last})`,
        remedy: 'check that nats-server runs and can be reached, then try again; what has arrived is kept',
      }),
    );
  };
  const timer = setInterval(check, Math.min(1000, idleTimeoutMs / 4));
  signal?.addEventListener('abort', check);

  const once = async (subject: string, data: Uint8Array | string, headers?: MsgHdrs): Promise<Msg> => {
    check();
    const interrupted = Promise.withResolvers<never>();
    const interrupt = (): void => interrupted.reject(new Interrupted());
    pending.add(interrupt);
    const unwatch = reconnects.watch(() => {
      last = 'the connection was lost';
      interrupt();
    });
    // Longer than the line's patience: which of several requests times out says nothing.
    const reply = nc.request(subject, data, { timeout: 2 * idleTimeoutMs, ...(headers ? { headers } : {}) });
    for (const promise of [interrupted.promise, reply]) promise.catch(() => {});
    try {
      return await Promise.race([reply, interrupted.promise, ended.promise]);
    } catch (error) {
      if (error instanceof Interrupted || error instanceof FedradError || error === signal?.reason) throw error;
      return explain(error);
    } finally {
      unwatch();
      pending.delete(interrupt);
    }
  };
  const explain = (error: unknown): never => {
    const cause = error instanceof RequestError ? (error.cause ?? error) : error;
    if (cause instanceof PermissionViolationError) {
      const remedy = 'what a compute may use is written into its credentials: fedrad silo list';
      return fail(where, `these credentials do not allow ${cause.operation} ${cause.subject}`, remedy, error);
    }
    if (nc.isClosed()) return fail(where, 'the connection to nats-server is closed', 'start it again', error);
    last =
      cause instanceof NoRespondersError
        ? 'nobody answers: no such bucket, or nats-server is starting'
        : messageOf(error);
    if (error instanceof RequestError || error instanceof TimeoutError || cause instanceof NoRespondersError)
      throw new Interrupted();
    throw error;
  };
  const pause = (): Promise<void> =>
    Promise.race([new Promise<void>((resolve) => setTimeout(resolve, RETRY_MS)), ended.promise]);
  return {
    once,
    ask: async (subject, data) => {
      for (;;) {
        try {
          return await once(subject, data);
        } catch (error) {
          if (!(error instanceof Interrupted)) throw error;
          await pause();
        }
      }
    },
    pause,
    moved: () => {
      lastMoved = performance.now();
      askedAgain = false;
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
      signal?.removeEventListener('abort', check);
    },
  };
}

const answerSchema = z.object({
  error: z
    .object({ code: z.int(), err_code: z.int().exactOptional(), description: z.string().exactOptional() })
    .exactOptional(),
});

export interface ApiError {
  readonly code: number;
  /** JetStream's own number, 0 where there is none. */
  readonly number: number;
  readonly description: string;
}

/** What JetStream answered: JSON, or the error in it. */
export function answerOf(reply: Msg, where: string): { readonly json: unknown; readonly error?: ApiError } {
  let json: unknown;
  try {
    json = reply.json();
  } catch (cause) {
    return fail(where, 'expected an answer of JetStream, got something that is not JSON', undefined, cause);
  }
  const { error } = answerSchema.parse(json);
  if (error === undefined) return { json };
  return { json, error: { code: error.code, number: error.err_code ?? 0, description: error.description ?? '' } };
}
