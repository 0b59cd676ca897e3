/**
 * @file Provisioning: makes a workspace in a home, whole or not at all. Its folder is prepared under another name and
 * renamed into place, so that a crash leaves nothing half made.
 */
import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import { besidePath, flushFolder, makePrivateFolder, writeNewFile } from './disk.ts';
import { waitForLock } from './file-lock.ts';
import { homePaths, prepareHome } from './home.ts';
import { createLocalVault } from './local-vault.ts';
import { toStoredJson } from './stored-json.ts';
import { signedInUser } from './user.ts';
import { readDescription, readDescriptions, workspacePaths } from './workspace.ts';
import {
  DEFAULT_REGIONS,
  describeWorkspace,
  initialPolicies,
  type WorkspaceDescription,
  type WorkspacePlan,
} from './workspace-description.ts';

/** What to make; whatever is left out has the seed's default, or the value of the workspace that exists. */
export type ProvisionOptions = Partial<WorkspacePlan>;

export interface ProvisionedWorkspace extends WorkspaceDescription {
  /** False when the workspace existed; nothing was changed then. */
  readonly created: boolean;
}

/**
 * Makes the workspace (default `aml-fldemo`: `orchestrator-01` and three silos in three regions, key vault
 * `kv-fldemo`) and the home around it. A second call with options that do not contradict the first changes nothing.
 *
 * @throws FedradError when the workspace exists with other properties, or its key vault belongs to another workspace
 */
export async function provisionWorkspace(home: string, options: ProvisionOptions = {}): Promise<ProvisionedWorkspace> {
  await prepareHome(home);
  await signedInUser(home);
  const workspaceName = options.workspaceName ?? 'aml-fldemo';
  const demoBaseName = options.demoBaseName ?? 'fldemo';
  const regions = options.regions ?? DEFAULT_REGIONS;
  const siloCount = options.siloCount ?? 3;
  const description = describeWorkspace({ ...options, workspaceName, demoBaseName, regions, siloCount }, randomUUID);

  using _lock = await waitForLock(join(homePaths(home).locks, 'provision'), 'fedrad provision');
  const workspaces = await readDescriptions(home);
  if (workspaces.has(workspaceName)) {
    const existing = await readDescription(home, workspaceName);
    checkSame(existing, options);
    return { ...existing, created: false };
  }
  const rival = [...workspaces.values()].find(({ keyVault }) => keyVault === description.keyVault);
  if (rival) {
    fail(
      `workspace "${workspaceName}"`,
      `key vault "${rival.keyVault}" belongs to workspace "${rival.workspaceName}"`,
      'choose another base name with --demo_base_name',
    );
  }
  await makeWorkspace(home, description);
  return { ...description, created: true };
}

async function makeWorkspace(home: string, description: WorkspaceDescription): Promise<void> {
  const finalFolder = workspacePaths(home, description.workspaceName).folder;
  const folder = besidePath(finalFolder);
  const paths = workspacePaths(home, folder.slice(homePaths(home).workspaces.length + 1));
  try {
    for (const { name } of description.datastores) await makePrivateFolder(paths.datastore(name));
    await makePrivateFolder(paths.vault);
    await createLocalVault(paths.vault, description.keyVault, initialPolicies(description));
    await writeNewFile(paths.description, toStoredJson(description));
    await flushFolder(paths.vault);
    await flushFolder(folder);
    await rename(folder, finalFolder);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  await flushFolder(homePaths(home).workspaces);
}

/** Throws when the options ask for something else than what exists. */
function checkSame(existing: WorkspaceDescription, options: ProvisionOptions): void {
  const properties: readonly [string, unknown, unknown][] = [
    ['resource group', existing.resourceGroup?.toLowerCase(), options.resourceGroup?.toLowerCase()],
    ['subscription id', existing.subscriptionId?.toLowerCase(), options.subscriptionId?.toLowerCase()],
    ['base name', existing.demoBaseName, options.demoBaseName],
    ['regions', existing.regions.join(' '), options.regions?.join(' ')],
    ['silos', existing.computes.length - 1, options.siloCount],
  ];
  for (const [property, recorded, asked] of properties) {
    if (asked === undefined || asked === recorded) continue;
    fail(
      `workspace "${existing.workspaceName}"`,
      `exists with ${property} ${recorded ?? '(none)'}, asked for ${asked}`,
      'leave the option out to use it as it is, or choose another --workspace_name',
    );
  }
}
