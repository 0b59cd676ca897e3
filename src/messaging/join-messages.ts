/**
 * @file What a hospital and the orchestrator say to each other once: the request to join, with proof that the hospital holds both private
 * keys, and the answer. Both are sealed by their sender's Ed25519 key.
 */
import type { KeyObject } from 'node:crypto';
import type { KeyPair } from '@nats-io/nkeys';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { computeName } from './invitation.ts';
import { publicFromText, publicText, userKeyFrom } from './keys.ts';
import { sealedSchema } from './messages.ts';
import { seal, unseal } from './seal.ts';

export const MAX_REQUEST_BYTES = 16_384;
/** Of Ed25519. */
const SIGNATURE_BYTES = 64;

const joinRequestSchema = z.strictObject({
  kind: z.literal('join'),
  invitation: z.string(),
  compute: computeName,
  /** Public parts of the keys made at the hospital. */
  userKey: z.string(),
  signingKey: z.string(),
  /** By the NKey, over {@link claim}. */
  proof: z.base64(),
});

export type JoinRequest = Readonly<z.infer<typeof joinRequestSchema>>;

export const joinAnswerSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('joined'),
    invitation: z.string(),
    userKey: z.string(),
    jwt: z.string(),
    fingerprint: z.string(),
  }),
  z.strictObject({ kind: z.literal('refused'), invitation: z.string(), problem: z.string(), remedy: z.string() }),
]);

export type JoinAnswer = Readonly<z.infer<typeof joinAnswerSchema>>;

/** What the NKey signs. NATS signs nonces with it, so that no nonce may look like this. */
const claim = ({ invitation, compute, userKey, signingKey }: Omit<JoinRequest, 'kind' | 'proof'>): Buffer =>
  Buffer.from(['fedrad join 1', invitation, compute, userKey, signingKey].join('\n'));

/** The bytes of a request; both keys sign it. */
export function joinRequest(invitation: string, compute: string, user: KeyPair, signingKey: KeyObject): Uint8Array {
  const parts = { invitation, compute, userKey: user.getPublicKey(), signingKey: publicText(signingKey) };
  const proof = Buffer.from(user.sign(claim(parts))).toString('base64');
  return seal({ kind: 'join', ...parts, proof } satisfies JoinRequest, signingKey);
}

/** The request in received bytes. Throws FedradError where either key did not sign it. */
export function readJoinRequest(bytes: Uint8Array): JoinRequest {
  const where = 'request to join';
  if (bytes.length > MAX_REQUEST_BYTES)
    fail(where, `it has ${bytes.length} bytes, at most ${MAX_REQUEST_BYTES} may be`);
  const request = unseal(bytes, joinRequestSchema, publicFromText(namedKey(bytes), where), 'whoever wants to join');
  if (!isSigned(request, userKeyFrom(request.userKey, where))) fail(where, 'its NKey did not sign it');
  return request;
}

function isSigned(request: JoinRequest, userKey: KeyPair): boolean {
  const proof = Buffer.from(request.proof, 'base64');
  // verify throws for another length.
  return proof.length === SIGNATURE_BYTES && userKey.verify(claim(request), proof);
}

/** The signing key that a request names, before anything is known of it. */
function namedKey(bytes: Uint8Array): string {
  try {
    const { body } = sealedSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return joinRequestSchema.parse(JSON.parse(body)).signingKey;
  } catch (cause) {
    return fail('request to join', 'it is not one', 'update fedrad on both sides to the same version', cause);
  }
}
