/**
 * @file The file of a local key vault: each value encrypted with AES-256-GCM (NIST SP 800-38D) under a random 96-bit
 * nonce, with vault and name as associated data, so that a value cannot be moved to another name; and an HMAC-SHA256
 * over everything, so that policies and times cannot be changed either. Both keys come from one random key by HKDF
 * (RFC 5869).
 *
 * It protects against whoever gets the file without the key (a backup, a synchronised folder). It cannot protect
 * against the user's own account, which reads both, nor tell an old copy of the file from the current one.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../base/index.ts';
import { SECRET_PERMISSIONS } from './key-vault.ts';

export const KEY_BYTES = 32;
export const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const sealedSchema = z.strictObject({
  nonce: z.base64(),
  /** Ciphertext, then the 16 bytes of the tag. */
  sealed: z.base64(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});

const contentSchema = z.strictObject({
  vault: z.string(),
  policies: z.array(z.strictObject({ objectId: z.uuid(), secretPermissions: z.array(z.enum(SECRET_PERMISSIONS)) })),
  secrets: z.record(z.string(), sealedSchema),
});

export const vaultFileSchema = z.strictObject({ content: contentSchema, mac: z.base64() });

export type VaultContent = z.infer<typeof contentSchema>;
export type VaultFile = z.infer<typeof vaultFileSchema>;

const derive = (key: Uint8Array, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', key, new Uint8Array(), `fedrad vault ${purpose}`, 32));

const associatedData = (vault: string, name: string): Uint8Array => Buffer.from(canonicalJson([vault, name]));

/** Encrypts a value; `nonce` must never have been used with this key. Returns base64. */
export function sealValue(key: Uint8Array, vault: string, name: string, value: string, nonce: Uint8Array): string {
  const cipher = createCipheriv('aes-256-gcm', derive(key, 'encryption'), nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(vault, name));
  return Buffer.concat([cipher.update(value, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** The inverse of {@link sealValue}; undefined where key, vault, name, nonce or content is not what was sealed. */
export function unsealValue(
  key: Uint8Array,
  vault: string,
  name: string,
  { nonce, sealed }: { readonly nonce: string; readonly sealed: string },
): string | undefined {
  const bytes = Buffer.from(sealed, 'base64');
  const nonceBytes = Buffer.from(nonce, 'base64');
  if (bytes.length < TAG_BYTES || nonceBytes.length !== NONCE_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', derive(key, 'encryption'), nonceBytes, { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(vault, name));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}

const macOf = (key: Uint8Array, content: VaultContent): Buffer =>
  createHmac('sha256', derive(key, 'authentication')).update(canonicalJson(content)).digest();

export const signContent = (key: Uint8Array, content: VaultContent): VaultFile => ({
  content,
  mac: macOf(key, content).toString('base64'),
});

/** Whether the file is as fedrad wrote it under this key. */
export function isAuthentic(key: Uint8Array, { content, mac }: VaultFile): boolean {
  const [expected, got] = [macOf(key, content), Buffer.from(mac, 'base64')];
  return expected.length === got.length && timingSafeEqual(expected, got);
}
