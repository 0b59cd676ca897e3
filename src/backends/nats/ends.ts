/**
 * @file How the attempts of one run ended at the hospitals, read from the stored messages from the start: what came while the
 * orchestrator was away is there too.
 */
import { DeliverPolicy, jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { fail, messageOf } from '../../base/index.ts';
import { ENDS_STREAM, type End, endSchema, endSubject, type Federation, unseal } from '../../messaging/index.ts';

/** Ends of this many attempts are kept in memory until somebody asks; a run has far fewer. */
const MAX_KEPT = 100_000;

export interface Ends {
  /** The end of the attempt, once it is there; rejects when `signal` is aborted. */
  of(compute: string, step: string, attempt: number, signal: AbortSignal): Promise<End>;
  close(): Promise<void>;
}

const keyOf = (compute: string, step: string, attempt: number): string => `${compute} ${step} ${attempt}`;

/** @param onProblem ends that do not verify: they are ignored */
export async function openEnds(
  nc: NatsConnection,
  federation: Federation,
  run: string,
  onProblem: (text: string) => void,
): Promise<Ends> {
  const known = new Map<string, End>();
  const waiting = new Map<string, (end: End) => void>();
  const consumer = await jetstream(nc).consumers.get(ENDS_STREAM, {
    filter_subjects: [endSubject('*', run)],
    deliver_policy: DeliverPolicy.All,
  });
  const messages = await consumer.consume();
  const ended = (async () => {
    for await (const message of messages) {
      try {
        const end = await verified(federation, run, message.subject, message.data);
        const key = keyOf(end.compute, end.step, end.attempt);
        // Sent at least once: the first one counts.
        if (known.has(key) || known.size >= MAX_KEPT) continue;
        known.set(key, end);
        waiting.get(key)?.(end);
        waiting.delete(key);
      } catch (error) {
        onProblem(messageOf(error));
      }
    }
  })().catch((error: unknown) => onProblem(messageOf(error)));
  return {
    of: (compute, step, attempt, signal) => {
      const key = keyOf(compute, step, attempt);
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
      await messages.close();
      await ended;
    },
  };
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
