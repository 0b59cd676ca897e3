/**
 * @file How the attempts of one run ended at the hospitals, read from the stored messages from the start: what came while the
 * orchestrator was away is there too.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { FedradError, fail, messageOf } from '../base/index.ts';
import { type End, endSchema, endSubject, endsStream, type Federation, unseal } from '../messaging/index.ts';
import type { Graph } from '../pipelines/index.ts';

/** Ends of this many attempts of one compute are kept in memory until somebody asks; a run has far fewer. */
const MAX_KEPT = 10_000;

/** How often it is asked for more where nothing was heard: a message of an end is heard once, and lost on who is away at that moment. */
const LOOK_MS = 5_000;
/** What was heard is stored within so long; until then it is asked for as often as this. */
const [STORED_MS, SOON_MS] = [2_000, 50];
/** Between tries while nats-server is away. */
const RETRY_MS = 500;
const REQUEST_TIMEOUT_MS = 5_000;

export interface Ends {
  /** The end of the attempt, once it is there; rejects when `signal` is aborted. */
  of(compute: string, step: string, attempt: number, signal: AbortSignal): Promise<End>;
  close(): Promise<void>;
}

const keyOf = (compute: string, step: string, attempt: number): string => `${compute} ${step} ${attempt}`;

/** @param onProblem ends that do not verify, or that nobody asked for: they are ignored */
export function openEnds(
  nc: NatsConnection,
  federation: Federation,
  { run, graph }: { readonly run: string; readonly graph: Graph },
  onProblem: (text: string) => void,
): Ends {
  const computeOf = new Map(graph.steps.map(({ id, compute }) => [id, compute]));
  const known = new Map<string, End>();
  const kept = new Map<string, number>();
  const waiting = new Map<string, (end: End) => void>();
  const closing = new AbortController();
  const take = async (subject: string, bytes: Uint8Array): Promise<void> => {
    try {
      const end = await verified(federation, run, subject, bytes);
      const { compute, step, attempt } = end;
      if (computeOf.get(step) !== compute) fail(`message from ${compute}`, `the run has no step "${step}" there`);
      const key = keyOf(compute, step, attempt);
      // Sent at least once: the first one counts.
      if (known.has(key)) return;
      const count = (kept.get(compute) ?? 0) + 1;
      if (count > MAX_KEPT) fail(`message from ${compute}`, `it has ended more than ${MAX_KEPT} attempts`);
      kept.set(compute, count);
      known.set(key, end);
      waiting.get(key)?.(end);
      waiting.delete(key);
    } catch (error) {
      // A file here that cannot be read just now: the end is read again.
      if (!(error instanceof FedradError)) throw error;
      onProblem(error.message);
    }
  };
  const read = async (compute: string): Promise<void> => {
    let [sequence, complaint] = [0, ''];
    let bell: ReturnType<typeof openBell> | undefined;
    while (!closing.signal.aborted) {
      try {
        bell ??= openBell(nc, endSubject(compute, run));
        const next = await nextStored(nc, endsStream(compute), endSubject(compute, run), sequence);
        complaint = '';
        if (next) {
          await take(next.subject, next.data);
          sequence = next.sequence;
          continue;
        }
        await bell.wait(closing.signal);
      } catch (error) {
        // nats-server is away, or starting: what is stored will be there.
        const text = messageOf(error);
        if (text !== complaint && !closing.signal.aborted) onProblem(`reading how steps ended at ${compute}: ${text}`);
        complaint = text;
        await sleep(RETRY_MS, undefined, { signal: closing.signal }).catch(() => {});
      }
    }
    bell?.close();
  };
  const readers = new Map<string, Promise<void>>();
  return {
    of: (compute, step, attempt, signal) => {
      const key = keyOf(compute, step, attempt);
      if (!readers.has(compute)) readers.set(compute, read(compute));
      return new Promise((resolve, reject) => {
        const there = known.get(key);
        if (there) return resolve(there);
        signal.throwIfAborted();
        const abort = (): void => {
          waiting.delete(key);
          reject(signal.reason);
        };
        signal.addEventListener('abort', abort, { once: true });
        waiting.set(key, (end) => {
          signal.removeEventListener('abort', abort);
          resolve(end);
        });
      });
    },
    close: async () => {
      closing.abort();
      await Promise.all(readers.values());
    },
  };
}

/** Rings when something is published there, so that nobody has to ask five times a second for what comes once in an hour. */
function openBell(nc: NatsConnection, subject: string) {
  let [heardAt, wake] = [Number.NEGATIVE_INFINITY, (): void => {}];
  const subscription = nc.subscribe(subject, {
    callback: () => {
      heardAt = performance.now();
      wake();
    },
  });
  return {
    /** Until it may be worth asking. */
    wait: (signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          wake = () => {};
          resolve();
        };
        const timer = setTimeout(done, performance.now() - heardAt < STORED_MS ? SOON_MS : LOOK_MS);
        signal.addEventListener('abort', done, { once: true });
        if (signal.aborted) done();
        wake = done;
      }),
    close: () => subscription.unsubscribe(),
  };
}

/**
 * The first message of these subjects stored after `sequence`, or undefined when there is none yet. Asking has no state that a restart of
 * either side could lose.
 */
async function nextStored(nc: NatsConnection, stream: string, subject: string, sequence: number) {
  const request = JSON.stringify({ seq: sequence + 1, next_by_subj: subject });
  const { data, headers } = await nc.request(`$JS.API.DIRECT.GET.${stream}`, request, {
    timeout: REQUEST_TIMEOUT_MS,
  });
  if (headers?.code === 404) return undefined;
  const found = Number(headers?.get('Nats-Sequence'));
  if ((headers?.code ?? 0) !== 0 || !(found > sequence))
    throw new Error(`nats-server says ${headers?.code} ${headers?.description}`);
  return { subject: headers!.get('Nats-Subject'), sequence: found, data };
}

async function verified(federation: Federation, run: string, subject: string, bytes: Uint8Array): Promise<End> {
  // fedrad.ends.<compute>.<run>: the broker lets only this compute publish there.
  const compute = subject.split('.')[2]!;
  const { signingKey, state = 'not invited' } = (await federation.silo(compute)) ?? {};
  if (signingKey === undefined || state === 'revoked') return fail(`message from ${compute}`, `it is ${state}`);
  const end = unseal(bytes, endSchema, signingKey, compute);
  if (end.compute !== compute || end.run !== run)
    fail(`message from ${compute}`, 'it speaks for another compute or run');
  return end;
}
