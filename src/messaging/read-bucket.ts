/** @file Reads a key-value bucket without a consumer, which no hospital may create (permissions.ts). */
import type { NatsConnection } from '@nats-io/transport-node';
import { fail } from '../base/index.ts';

const TIMEOUT_MS = 5_000;

/** The value of a key, or undefined when it has none or was deleted. @throws when nats-server does not answer within 5 s */
export async function readKey(
  connection: NatsConnection,
  bucket: string,
  key: string,
): Promise<Uint8Array | undefined> {
  const request = JSON.stringify({ last_by_subj: `$KV.${bucket}.${key}` });
  const { data, headers } = await connection.request(`$JS.API.DIRECT.GET.KV_${bucket}`, request, {
    timeout: TIMEOUT_MS,
  });
  if (headers?.code === 404 || headers?.has('KV-Operation')) return undefined;
  if ((headers?.code ?? 0) !== 0) fail(`bucket ${bucket}`, `nats-server says ${headers!.code} ${headers!.description}`);
  return data;
}
