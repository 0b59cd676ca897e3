/**
 * @file Keys of a federation: NKeys (Ed25519 in the notation of NATS) for connections, Ed25519 keys for what is signed beyond NATS, and
 * the fingerprint by which two people compare them on the phone. Private parts lie in files of mode 0600 and nowhere else.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fromPublic, fromSeed, type KeyPair } from '@nats-io/nkeys';
import { fail, messageOf } from '../base/index.ts';

/** Of `O` operators, `A` accounts and `U` users. */
export type NKeyKind = 'O' | 'A' | 'U';

const LABELS: Readonly<Record<NKeyKind, string>> = { O: 'operator', A: 'account', U: 'user' };

/** A new Ed25519 private key. */
export const newSigningKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;

export const publicOf = (privateKey: KeyObject): KeyObject => createPublicKey(privateKey);

export const toPem = (privateKey: KeyObject): string => privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

/** The 32 bytes of an Ed25519 public key, base64url. */
export function publicText(key: KeyObject): string {
  const { x } = (key.type === 'private' ? publicOf(key) : key).export({ format: 'jwk' });
  return x!;
}

/** The inverse of {@link publicText}. */
export function publicFromText(text: string, where: string): KeyObject {
  try {
    if (!/^[A-Za-z0-9_-]{43}$/.test(text)) throw new Error('not 32 bytes');
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: text }, format: 'jwk' });
  } catch (cause) {
    return fail(where, 'expected an Ed25519 public key', undefined, cause);
  }
}

/** Reads an Ed25519 private key that {@link toPem} wrote. */
export async function readSigningKey(path: string): Promise<KeyObject> {
  const pem = await readFile(path, 'utf8');
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // The parser's message says nothing that helps, and a key must not come near a log.
  }
  return fail(path, 'it is damaged: not an Ed25519 private key', 'restore it from a backup');
}

export const seedText = (pair: KeyPair): string => Buffer.from(pair.getSeed()).toString('ascii');

/** Reads an NKey's seed that {@link seedText} gave. */
export async function readNKey(path: string, kind: NKeyKind): Promise<KeyPair> {
  const seed = (await readFile(path, 'utf8')).trim();
  try {
    const pair = fromSeed(Buffer.from(seed));
    if (pair.getPublicKey().startsWith(kind)) return pair;
  } catch {
    // As above.
  }
  return fail(path, `it is damaged: not the NKey of ${LABELS[kind]}s`, 'restore it from a backup');
}

/** The public user NKey in received text. */
export function userKeyFrom(text: string, where: string): KeyPair {
  try {
    if (/^U[A-Z2-7]{55}$/.test(text)) return fromPublic(text);
  } catch (cause) {
    return fail(where, `expected a public user NKey: ${messageOf(cause)}`);
  }
  return fail(where, 'expected a public user NKey, such as UA…');
}

/** What a fingerprint stands for. */
export interface Fingerprinted {
  readonly compute: string;
  /** Public user NKey and Ed25519 public key of the hospital. */
  readonly userKey: string;
  readonly signingKey: KeyObject;
  /** Ed25519 public key of the orchestrator. */
  readonly orchestratorKey: KeyObject;
}

/** Crockford's base 32 without letters that are heard or read as another one. */
const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * 80 bits of a hash over both keys of the hospital, its compute and the orchestrator's key, in four groups: `7K3M-0QAZ-…`. Whoever joins
 * in the place of a hospital, or poses as its orchestrator, has other keys and so another fingerprint.
 */
export function fingerprint({ compute, userKey, signingKey, orchestratorKey }: Fingerprinted): string {
  const text = ['fedrad fingerprint 1', compute, userKey, publicText(signingKey), publicText(orchestratorKey)].join(
    '\n',
  );
  let bits = BigInt(`0x${createHash('sha256').update(text).digest('hex').slice(0, 20)}`);
  let letters = '';
  for (let i = 0; i < 16; i++, bits >>= 5n) letters = LETTERS[Number(bits & 31n)]! + letters;
  return letters.match(/.{4}/g)!.join('-');
}
