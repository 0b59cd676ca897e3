/**
 * @file Reads a key-value bucket without a consumer, which no hospital may create (permissions.ts): entry by entry, in the order in which
 * they were last written.
 */
import type { NatsConnection } from '@nats-io/transport-node';
import { fail } from '../base/index.ts';

export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Of the bucket; grows with every write. */
  readonly sequence: number;
}

const TIMEOUT_MS = 5_000;

/** The first entry written after `sequence` (0: the first of all), or undefined when there is none yet. Deleted ones have no value. */
export async function nextEntry(
  connection: NatsConnection,
  bucket: string,
  sequence: number,
): Promise<Entry | undefined> {
  const prefix = `$KV.${bucket}.`;
  const request = JSON.stringify({ seq: sequence + 1, next_by_subj: `${prefix}>` });
  const reply = await connection.request(`$JS.API.DIRECT.GET.KV_${bucket}`, request, { timeout: TIMEOUT_MS });
  const { headers } = reply;
  if (headers?.code === 404) return undefined;
  const subject = headers?.get('Nats-Subject') ?? '';
  const found = Number(headers?.get('Nats-Sequence'));
  if ((headers?.code ?? 0) !== 0 || !subject.startsWith(prefix) || !(found > sequence)) {
    return fail(`bucket ${bucket}`, `unexpected answer ${headers?.code ?? ''} ${headers?.description ?? ''}`);
  }
  return { key: subject.slice(prefix.length), value: reply.data, sequence: found };
}
