/** @file Messages that say who sent them: Ed25519 (RFC 8032) over the text of the body. */
import { type KeyObject, sign, verify } from 'node:crypto';
import type { z } from 'zod';
import { fail } from '../base/index.ts';
import { type Sealed, sealedSchema } from './messages.ts';

/** The bytes to send. */
export function seal(message: unknown, privateKey: KeyObject): Uint8Array {
  const body = JSON.stringify(message);
  const signature = sign(null, Buffer.from(body), privateKey).toString('base64');
  return Buffer.from(JSON.stringify({ body, signature } satisfies Sealed));
}

/**
 * The message in received bytes.
 *
 * @param from whom it must be from, for the error
 * @throws FedradError when it is not sealed by `publicKey`, or is not what `schema` asks for
 */
export function unseal<T>(bytes: Uint8Array, schema: z.ZodType<T>, publicKey: KeyObject, from: string): T {
  const where = `message from ${from}`;
  const { body, signature } = parse(bytes, sealedSchema, where);
  if (!verify(null, Buffer.from(body), publicKey, Buffer.from(signature, 'base64'))) {
    fail(
      where,
      'its signature does not fit the key that it joined with',
      'revoke it and invite it again: fedrad silo list',
    );
  }
  return parse(Buffer.from(body), schema, where);
}

function parse<T>(bytes: Uint8Array, schema: z.ZodType<T>, where: string): T {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    return fail(where, 'expected JSON', undefined, cause);
  }
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const { path, message } = checked.error.issues[0]!;
  return fail(where, `${path.join('.')}: ${message}`, 'update fedrad on both sides to the same version');
}
