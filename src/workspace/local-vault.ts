/** @file A key vault in a folder of the home: `key` (0600), `vault.json` (0600) and a lock between writers. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import { codeOf, writeFileAtomic, writeNewFile } from './disk.ts';
import { waitForLock } from './file-lock.ts';
import {
  checkPolicy,
  checkSecretName,
  checkSecretValue,
  type KeyVault,
  requirePermission,
  type VaultPolicy,
} from './key-vault.ts';
import { Secret } from './secret.ts';
import { readStoredJson, toStoredJson } from './stored-json.ts';
import {
  isAuthentic,
  KEY_BYTES,
  NONCE_BYTES,
  sealValue,
  signContent,
  unsealValue,
  type VaultContent,
  vaultFileSchema,
} from './vault-file.ts';

const files = (folder: string) => ({
  key: join(folder, 'key'),
  vault: join(folder, 'vault.json'),
  lock: join(folder, 'lock'),
});

/** Writes a new vault without secrets into an empty folder. */
export async function createLocalVault(folder: string, name: string, policies: readonly VaultPolicy[]): Promise<void> {
  const key = randomBytes(KEY_BYTES);
  await writeNewFile(files(folder).key, key);
  const checked = policies.map(({ objectId, secretPermissions }) =>
    mutable(checkPolicy(objectId, secretPermissions, name)),
  );
  await writeNewFile(
    files(folder).vault,
    toStoredJson(signContent(key, { vault: name, policies: checked, secrets: {} })),
  );
}

/** The vault in this folder. `now` gives the times of secrets. */
export function openLocalVault(folder: string, name: string, now: () => Date = () => new Date()): KeyVault {
  const where = `key vault "${name}"`;

  const read = async (): Promise<{ key: Uint8Array; content: VaultContent }> => {
    const key = await readFile(files(folder).key).catch((error: unknown) =>
      codeOf(error) === 'ENOENT'
        ? fail(where, `its key ${files(folder).key} is missing`, RESTORE)
        : Promise.reject(error),
    );
    if (key.length !== KEY_BYTES) fail(where, `its key has ${key.length} bytes, expected ${KEY_BYTES}`, RESTORE);
    const file = await readStoredJson(files(folder).vault, vaultFileSchema);
    if (!isAuthentic(key, file) || file.content.vault !== name) {
      fail(where, `${files(folder).vault} was changed by something other than fedrad, or its key was`, RESTORE);
    }
    return { key, content: file.content };
  };

  const change = async (edit: (content: VaultContent, key: Uint8Array) => VaultContent): Promise<void> => {
    using _lock = await waitForLock(files(folder).lock, where);
    const { key, content } = await read();
    await writeFileAtomic(files(folder).vault, toStoredJson(signContent(key, edit(content, key))));
  };

  const find = ({ secrets }: VaultContent, secret: string) =>
    Object.hasOwn(secrets, secret)
      ? secrets[secret]!
      : // Without the nearest name: permission to get one secret is not permission to learn the names of others.
        fail(
          where,
          `no secret "${secret}"`,
          `fedrad keyvault secret list --vault-name ${name}; fedrad keyvault secret set --name ${secret}`,
        );

  return {
    name,
    setPolicy: async (objectId, secretPermissions) => {
      const policy = checkPolicy(objectId, secretPermissions, where);
      await change((content) => {
        const others = content.policies.filter((each) => each.objectId !== policy.objectId);
        return { ...content, policies: policy.secretPermissions.length > 0 ? [...others, mutable(policy)] : others };
      });
      return policy;
    },
    policies: async () => (await read()).content.policies,
    setSecret: async (givenName, value, as) => {
      const secret = checkSecretName(givenName, where);
      checkSecretValue(value, `${where} secret "${secret}"`);
      const updatedAt = now().toISOString();
      let createdAt = updatedAt;
      await change((content, key) => {
        requirePermission(name, content.policies, as, 'set');
        if (Object.hasOwn(content.secrets, secret)) createdAt = find(content, secret).createdAt;
        const nonce = randomBytes(NONCE_BYTES);
        const sealed = sealValue(key, name, secret, value, nonce);
        const entry = { nonce: nonce.toString('base64'), sealed, createdAt, updatedAt };
        return { ...content, secrets: { ...content.secrets, [secret]: entry } };
      });
      return { name: secret, createdAt, updatedAt };
    },
    getSecret: async (givenName, as) => {
      const secret = checkSecretName(givenName, where);
      const { key, content } = await read();
      requirePermission(name, content.policies, as, 'get');
      const value = unsealValue(key, name, secret, find(content, secret));
      return new Secret(value ?? fail(where, `the secret "${secret}" cannot be decrypted`, RESTORE));
    },
    listSecrets: async (as) => {
      const { content } = await read();
      requirePermission(name, content.policies, as, 'list');
      return Object.entries(content.secrets)
        .map(([secret, { createdAt, updatedAt }]) => ({ name: secret, createdAt, updatedAt }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    deleteSecret: async (givenName, as) => {
      const secret = checkSecretName(givenName, where);
      await change((content) => {
        requirePermission(name, content.policies, as, 'delete');
        find(content, secret);
        const { [secret]: _deleted, ...secrets } = content.secrets;
        return { ...content, secrets };
      });
    },
  };
}

const RESTORE = 'restore the folder of the vault from a backup; until then its secrets are not used';

const mutable = ({ objectId, secretPermissions }: VaultPolicy) => ({
  objectId,
  secretPermissions: [...secretPermissions],
});
