/**
 * @file What a key vault is: secrets by name, and for each identity what it may do with them. Names, limits and
 * permissions are those of Azure Key Vault (https://learn.microsoft.com/azure/key-vault/secrets/about-secrets).
 */
import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { Secret } from './secret.ts';

export const SECRET_PERMISSIONS = ['get', 'list', 'set', 'delete'] as const;

export type SecretPermission = (typeof SECRET_PERMISSIONS)[number];

export interface VaultPolicy {
  /** The user or compute the policy is for. */
  readonly objectId: string;
  readonly secretPermissions: readonly SecretPermission[];
}

export interface SecretProperties {
  readonly name: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly updatedAt: string;
}

/**
 * `as` is the object id of the user or compute that asks; without a policy that permits it, the answer is an error
 * that names the missing permission and the command that grants it.
 */
export interface KeyVault {
  readonly name: string;
  /**
   * Replaces the policy of an identity; no permissions removes it. Asks for no permission of its own: whoever can
   * write the home owns its vaults.
   */
  setPolicy(objectId: string, secretPermissions: readonly SecretPermission[]): Promise<VaultPolicy>;
  policies(): Promise<readonly VaultPolicy[]>;
  /** Sets a secret, new or not: a name of 1 to 127 of `0-9A-Za-z-`, whose case does not matter; a value up to 25 kB. */
  setSecret(name: string, value: string, as: string): Promise<SecretProperties>;
  getSecret(name: string, as: string): Promise<Secret>;
  /** Names and times, never values, sorted by name. */
  listSecrets(as: string): Promise<readonly SecretProperties[]>;
  deleteSecret(name: string, as: string): Promise<void>;
}

/** A vault in the hands of whoever is signed in: its methods for secrets, without the identity. */
export interface OpenVault {
  readonly name: string;
  /** As {@link KeyVault}. */
  setSecret(name: string, value: string): Promise<SecretProperties>;
  getSecret(name: string): Promise<Secret>;
  listSecrets(): Promise<readonly SecretProperties[]>;
  deleteSecret(name: string): Promise<void>;
}

export const MAX_SECRET_BYTES = 25_600;

const objectIdSchema = z.uuid();

/** The name as the vault keeps it: in lower case, since case does not tell names apart. */
export function checkSecretName(name: string, where: string): string {
  if (/^[0-9A-Za-z-]{1,127}$/.test(name)) return name.toLowerCase();
  // Not quoted: someone may have typed the value where the name belongs.
  return fail(where, 'a secret name has 1 to 127 letters, digits and hyphens; got something else', 'change the name');
}

export function checkSecretValue(value: string, where: string): void {
  const bytes = Buffer.byteLength(value);
  if (bytes === 0) fail(where, 'expected a value, got nothing', 'give the value');
  if (bytes > MAX_SECRET_BYTES) {
    fail(where, `expected a value of at most ${MAX_SECRET_BYTES} bytes, got ${bytes}`, 'store a shorter one');
  }
}

/** The policy with its permissions in one order, each once. */
export function checkPolicy(objectId: string, secretPermissions: readonly string[], where: string): VaultPolicy {
  if (!objectIdSchema.safeParse(objectId).success) {
    fail(where, `expected an object id (a UUID), got ${JSON.stringify(objectId)}`, 'fedrad account show --query id');
  }
  const known: readonly string[] = SECRET_PERMISSIONS;
  const unknown = secretPermissions.find((permission) => !known.includes(permission));
  if (unknown !== undefined) {
    fail(where, `no secret permission ${JSON.stringify(unknown)}`, `use some of ${SECRET_PERMISSIONS.join(', ')}`);
  }
  return {
    objectId: objectId.toLowerCase(),
    secretPermissions: SECRET_PERMISSIONS.filter((permission) => secretPermissions.includes(permission)),
  };
}

/** Throws unless the policies let this identity do this. */
export function requirePermission(
  vault: string,
  policies: readonly VaultPolicy[],
  as: string,
  permission: SecretPermission,
): void {
  const granted = policies.find(({ objectId }) => objectId === as.toLowerCase())?.secretPermissions ?? [];
  if (granted.includes(permission)) return;
  // The command replaces the policy, so it must repeat what is granted already.
  const wanted = SECRET_PERMISSIONS.filter((each) => each === permission || granted.includes(each)).join(' ');
  fail(
    `key vault "${vault}"`,
    `${as} has no permission to ${permission} secrets`,
    `fedrad keyvault set-policy -n ${vault} --secret-permissions ${wanted} --object-id ${as}`,
  );
}
