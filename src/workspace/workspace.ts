/** @file Opening a provisioned workspace and its key vault by name. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import type { LocalDatastore } from './datastore.ts';
import { openDirectoryDatastore } from './directory-datastore.ts';
import { codeOf, UNFINISHED } from './disk.ts';
import { homeExists, homePaths } from './home.ts';
import type { KeyVault } from './key-vault.ts';
import { openLocalVault } from './local-vault.ts';
import { didYouMean, findNamed } from './names.ts';
import { readStoredJson } from './stored-json.ts';
import { type Compute, type WorkspaceDescription, workspaceDescriptionSchema } from './workspace-description.ts';

export interface Workspace {
  readonly description: WorkspaceDescription;
  /** By name, the orchestrator first, then the silos in order. */
  readonly computes: ReadonlyMap<string, Compute>;
  readonly datastores: ReadonlyMap<string, LocalDatastore>;
  readonly vault: KeyVault;
}

/** How a user names a workspace. What is left out is not checked; the only workspace of a home needs no name. */
export interface WorkspaceName {
  readonly workspaceName?: string;
  readonly resourceGroup?: string;
  readonly subscriptionId?: string;
}

/** Where the parts of a workspace lie. */
export function workspacePaths(home: string, workspaceName: string) {
  const folder = join(homePaths(home).workspaces, workspaceName);
  return {
    folder,
    description: join(folder, 'workspace.json'),
    vault: join(folder, 'vault'),
    datastore: (name: string) => join(folder, 'datastores', name),
  };
}

export const readDescription = (home: string, workspaceName: string): Promise<WorkspaceDescription> =>
  readStoredJson(workspacePaths(home, workspaceName).description, workspaceDescriptionSchema);

/** What a federation is, in its folder. */
export const FEDERATION_FILE = 'federation.json';

/** All workspaces of a home, by name. */
export async function readDescriptions(home: string): Promise<ReadonlyMap<string, WorkspaceDescription>> {
  if (!(await homeExists(home))) return new Map();
  const names = await readdir(homePaths(home).workspaces).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  const finished = names.filter((name) => !name.startsWith(UNFINISHED)).sort();
  return new Map(await Promise.all(finished.map(async (name) => [name, await readDescription(home, name)] as const)));
}

/** Whether this home has any workspace. */
export const hasWorkspaces = async (home: string): Promise<boolean> => (await readDescriptions(home)).size > 0;

/** Whether this home has a workspace of this name. */
export const hasWorkspace = async (home: string, name: string | undefined): Promise<boolean> =>
  name !== undefined && (await readDescriptions(home)).has(name);

/** The folder of a workspace's federation across hospitals. */
export const federationFolder = (home: string, workspaceName: string): string =>
  join(workspacePaths(home, workspaceName).folder, 'federation');

/** Whether `fedrad orchestrator init` has been run for this workspace. Here, so that a run on one machine asks without loading NATS. */
export const hasFederation = (home: string, workspaceName: string): Promise<boolean> =>
  stat(join(federationFolder(home, workspaceName), FEDERATION_FILE)).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    },
  );

/**
 * Opens a workspace of this home.
 *
 * @throws FedradError when there is none of this name, or its recorded resource group or subscription is another
 */
export async function openWorkspace(home: string, name: WorkspaceName = {}): Promise<Workspace> {
  const description = chooseWorkspace(home, await readDescriptions(home), name.workspaceName);
  checkRecorded(description, 'resource group', description.resourceGroup, name.resourceGroup);
  checkRecorded(description, 'subscription id', description.subscriptionId, name.subscriptionId);
  const paths = workspacePaths(home, description.workspaceName);
  const datastores = await Promise.all(
    description.datastores.map(({ name: datastore }) => openDirectoryDatastore(datastore, paths.datastore(datastore))),
  );
  return {
    description,
    computes: new Map(description.computes.map((compute) => [compute.name, compute])),
    datastores: new Map(datastores.map((datastore) => [datastore.name, datastore])),
    vault: openLocalVault(paths.vault, description.keyVault),
  };
}

/** The name in a vault's URL, `https://<name>.vault.azure.net`; a name is itself. */
export const vaultName = (nameOrUrl: string): string =>
  /^https:\/\/([^./]+)\.vault\.azure\.net\/?$/i.exec(nameOrUrl)?.[1] ?? nameOrUrl;

const vaults = async (home: string): Promise<ReadonlyMap<string, WorkspaceDescription>> =>
  new Map([...(await readDescriptions(home)).values()].map((each) => [each.keyVault, each]));

/** Names of this home's key vaults. */
export const vaultNames = async (home: string): Promise<readonly string[]> => [...(await vaults(home)).keys()];

/** Opens a key vault of this home by its name or its URL, `https://<name>.vault.azure.net`. */
export async function openVault(home: string, nameOrUrl: string): Promise<KeyVault> {
  const byVault = await vaults(home);
  const { workspaceName, keyVault } = findNamed(byVault, vaultName(nameOrUrl), {
    where: 'key vault',
    kind: 'key vault',
    remedy: byVault.size === 0 ? 'fedrad provision' : 'fedrad workspace show',
  });
  return openLocalVault(workspacePaths(home, workspaceName).vault, keyVault);
}

/** The compute of this name. `where` is the place of the name: `config.yaml: federated_learning.silos[1].compute`. */
export const findCompute = ({ computes }: Workspace, name: string, where: string): Compute =>
  findNamed(computes, name, { where, kind: 'compute', remedy: 'fedrad workspace show' });

/** The datastore of this name. `where` is the place of the name. */
export const findDatastore = ({ datastores }: Workspace, name: string, where: string): LocalDatastore =>
  findNamed(datastores, name, { where, kind: 'datastore', remedy: 'fedrad workspace show' });

function chooseWorkspace(
  home: string,
  workspaces: ReadonlyMap<string, WorkspaceDescription>,
  name: string | undefined,
): WorkspaceDescription {
  const where = `home ${home}`;
  if (workspaces.size === 0) {
    return fail(where, name === undefined ? 'no workspace' : `no workspace "${name}"`, 'fedrad provision');
  }
  if (name !== undefined) {
    return findNamed(workspaces, name, { where, kind: 'workspace', remedy: 'fedrad workspace show' });
  }
  const [only, ...others] = workspaces.values();
  if (others.length === 0) return only!;
  return fail(where, `several workspaces${didYouMean('', workspaces.keys())}`, 'choose one with --workspace_name');
}

/** Azure compares these names without regard to case. */
function checkRecorded(
  { workspaceName }: WorkspaceDescription,
  property: string,
  recorded: string | undefined,
  given: string | undefined,
): void {
  if (recorded === undefined || given === undefined || recorded.toLowerCase() === given.toLowerCase()) return;
  fail(
    `workspace "${workspaceName}"`,
    `its ${property} is ${recorded}, got ${given}`,
    `leave it out, or give ${recorded}; fedrad workspace show`,
  );
}
