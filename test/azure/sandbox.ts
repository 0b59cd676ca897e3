/** @file The example's sandbox on the stand-in: its workspace, computes and datastores by the names of config.yaml, storage in Azurite. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { packageVersion } from '../../src/cli/package-version.ts';
import { type Cli, openCli, uploadConfig } from '../cli.ts';
import type { Cleanup } from '../hospitals/tool.ts';
import { startAzurite } from './azurite.ts';
import { keyVaultApi, newVault, policyFor, type VaultState } from './keyvault.ts';
import { type MachineLearning, machineLearningApi, type WorkspaceState } from './machine-learning.ts';
import { containerOf } from './machine-learning-executor.ts';
import { startManagedIdentities } from './managed-identity.ts';
import { mlflowApi, newMlflow } from './mlflow.ts';
import { type Api, accessToken, type StandIn, startStandIn } from './stand-in.ts';

export const SUBSCRIPTION = '44444444-4444-4444-8444-444444444444';
export const ON_AZURE = [
  ...['--workspace_name', 'aml-fldemo', '--resource_group', 'rg-fldemo'],
  ...['--subscription_id', SUBSCRIPTION],
];

export interface Sandbox {
  readonly standIn: StandIn;
  readonly machineLearning: MachineLearning;
  readonly workspace: WorkspaceState;
  /** Whose secrets the silos' computes may read. */
  readonly vault: VaultState;
  /** Of fedrad's processes. */
  readonly environment: Record<string, string>;
}

/** What is in a resource group. */
export interface Resources {
  /** `/subscriptions/…/workspaces/<name>` */
  readonly id: string;
  readonly workspace: WorkspaceState;
  readonly vault: VaultState;
  /** Object ids of the computes' identities, by compute. */
  readonly identities: ReadonlyMap<string, string>;
}

/** The sandbox with a command line whose folder holds upload.yaml: phantoms. */
export async function openCliOnAzure(context: TestContext): Promise<Sandbox & { readonly cli: Cli }> {
  const sandbox = await startSandbox(context);
  const cli = await openCli(context, sandbox.environment);
  await cli.write('upload.yaml', uploadConfig('phantom:24'));
  return { ...sandbox, cli };
}

/** Starts it; it ends with the test. */
export async function startSandbox(context: Cleanup): Promise<Sandbox> {
  const apis: Api[] = [];
  const standIn = await startStandIn(context, apis);
  const names = ['orchestrator', 'silo0', 'silo1', 'silo2'];
  const group = `/subscriptions/${SUBSCRIPTION}/resourceGroups/rg-fldemo`;
  const workspace: WorkspaceState = {
    location: 'westeurope',
    keyVault: `${group}/providers/Microsoft.KeyVault/vaults/kv-fldemo`,
    logs: { account: 'workspacestore', container: 'azureml' },
    computes: new Map(
      names.map((name) => [
        `${name}-01`,
        { vmSize: 'Standard_DS3_v2', datastores: [...new Set([`datastore_${name}`, 'datastore_orchestrator'])] },
      ]),
    ),
    datastores: new Map(names.map((name) => [`datastore_${name}`, { account: `st${name}`, container: `cont${name}` }])),
    environments: new Set([`fedrad-cpu/versions/${packageVersion}`]),
    components: new Map(),
    jobs: new Map(),
  };
  const id = `${group}/providers/Microsoft.MachineLearningServices/workspaces/aml-fldemo`;
  const place = { name: 'kv-fldemo', subscription: SUBSCRIPTION, group: 'rg-fldemo' };
  const vault = newVault({ ...place, url: await standIn.anotherUrl() });
  const identities = new Map([...workspace.computes.keys()].map((compute) => [compute, randomUUID() as string]));
  for (const [compute, objectId] of identities)
    if (compute.startsWith('silo')) vault.policies.push(policyFor(objectId, 'get', 'list'));
  return openSandbox(context, standIn, apis, { id, workspace, vault, identities });
}

/** Starts what these resources need, storage first; what answers for them joins the stand-in's APIs. */
export async function openSandbox(
  context: Cleanup,
  standIn: StandIn,
  apis: Api[],
  { id, workspace, vault, identities }: Resources,
): Promise<Sandbox> {
  const places = [...workspace.datastores.values(), workspace.logs];
  const accounts = [...new Set(places.map(({ account }) => account))];
  const azurite = await startAzurite(context, accounts, standIn.certificate);
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-azure-steps-'));
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const managed = await startManagedIdentities(context, identities);
  const endpoints = {
    resourceManager: standIn.url,
    lookMs: 200,
    blob: Object.fromEntries(accounts.map((account) => [account, azurite.blobUrl(account)])),
    vault: { [vault.name]: vault.url },
  };
  const machineLearning: MachineLearning & Required<Pick<MachineLearning, 'tracking'>> = {
    workspaces: new Map([[id, workspace]]),
    subscriptions: new Set([vault.subscription]),
    cancelLooks: 2,
    azurite,
    folder,
    signIn: (compute) => ({
      ...managed.environment(compute),
      AZURE_AUTHORITY_HOST: standIn.url,
      NODE_EXTRA_CA_CERTS: standIn.environment['NODE_EXTRA_CA_CERTS']!,
      FEDRAD_AZURE_ENDPOINTS: JSON.stringify(endpoints),
    }),
    tracking: {
      mlflow: newMlflow(),
      environment: {
        MLFLOW_TRACKING_URI: `${standIn.url.replace('https:', 'azureml:')}/mlflow/v1.0${id}?`,
        AZUREML_RUN_TOKEN: accessToken('run'),
        NODE_EXTRA_CA_CERTS: standIn.environment['NODE_EXTRA_CA_CERTS']!,
      },
    },
  };
  for (const place of places) await containerOf(machineLearning, place).create();
  apis.push(machineLearningApi(machineLearning), mlflowApi(machineLearning.tracking.mlflow, `/mlflow/v1.0${id}`));
  apis.push(keyVaultApi([vault], () => standIn.url));
  return {
    standIn,
    machineLearning,
    workspace,
    vault,
    environment: { ...standIn.environment, FEDRAD_AZURE_ENDPOINTS: JSON.stringify(endpoints) },
  };
}
