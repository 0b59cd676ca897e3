/**
 * @file The hospital's own secrets, such as its Kaggle key: a key vault in the agent's folder, in no workspace. No secret ever comes from
 * the orchestrator, or goes to it.
 */
import { access, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import {
  codeOf,
  createLocalVault,
  type KeyVault,
  makePrivateFolder,
  openLocalVault,
  type SecretProperties,
  signedInUser,
  waitForLock,
} from '../workspace/index.ts';
import { agentPaths } from './paths.ts';

const VAULT_NAME = 'kv-agent';

export interface AgentVault {
  set(name: string, value: string): Promise<SecretProperties>;
  list(): Promise<readonly SecretProperties[]>;
  delete(name: string): Promise<void>;
  /** The values of these secrets. @throws FedradError with the command that sets the one that is missing */
  reveal(names: readonly string[]): Promise<Record<string, string>>;
}

/** The vault of this home's agent; made when the first secret is set. */
export async function openAgentVault(home: string): Promise<AgentVault> {
  const { vault: folder, folder: agentFolder } = agentPaths(home);
  const { id } = await signedInUser(home);
  const open = async (make: boolean): Promise<KeyVault | undefined> => {
    if (make) await createOnce(agentFolder, folder, id);
    return (await exists(folder)) ? openLocalVault(folder, VAULT_NAME) : undefined;
  };
  return {
    set: async (name, value) => (await open(true))!.setSecret(name, value, id),
    list: async () => (await open(false))?.listSecrets(id) ?? [],
    delete: async (name) => {
      const vault = await open(false);
      if (!vault) return missing(name);
      await vault.deleteSecret(name, id);
    },
    reveal: async (names) => {
      if (names.length === 0) return {};
      const vault = await open(false);
      const there = new Set((await vault?.listSecrets(id))?.map(({ name }) => name));
      const values: Record<string, string> = {};
      for (const name of names) {
        if (!vault || !there.has(name.toLowerCase())) return missing(name);
        values[name] = (await vault.getSecret(name, id)).reveal();
      }
      return values;
    },
  };
}

const missing = (name: string): never =>
  fail(`secret "${name}"`, 'this hospital has not set it', `at the hospital: fedrad agent secret set --name ${name}`);

/** Made beside its place and renamed, so that it is there whole or not at all. */
async function createOnce(agentFolder: string, folder: string, user: string): Promise<void> {
  if (await exists(folder)) return;
  await makePrivateFolder(agentFolder);
  using _lock = await waitForLock(join(agentFolder, 'vault-lock'), 'the vault of this agent');
  if (await exists(folder)) return;
  const unfinished = await mkdtemp(join(agentFolder, '.fedrad-vault-'));
  try {
    const secretPermissions = ['get', 'list', 'set', 'delete'] as const;
    await createLocalVault(unfinished, VAULT_NAME, [{ objectId: user, secretPermissions }]);
    await rename(unfinished, folder);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
