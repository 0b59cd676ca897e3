/**
 * @file The workspace of a plan and what Azure ML needs beside it: Application Insights, a container registry, a key vault and a storage
 * account of its own. Names as in the Azure ML example, but for the vault: `kv-<base>` is the workspace's.
 */
import { fact, idOf, principalOf, type Resource, text } from './expressions.ts';
import { bareBaseName, based, keyVaultPolicies, orchestratorRegion, workspaceName } from './parameters.ts';

export const ML_API = '2022-10-01';
export const STORAGE_API = '2022-05-01';

export interface WorkspaceResources {
  readonly workspace: Resource;
  readonly vault: Resource;
  readonly all: readonly Resource[];
}

export function workspaceResources(): WorkspaceResources {
  const logs: Resource = {
    symbol: 'logs',
    type: 'Microsoft.OperationalInsights/workspaces',
    apiVersion: '2021-06-01',
    name: [based('logs-')],
    body: {
      location: orchestratorRegion,
      properties: { sku: { name: 'PerGB2018' }, retentionInDays: 30 },
    },
  };
  const insights: Resource = {
    symbol: 'insights',
    type: 'Microsoft.Insights/components',
    apiVersion: '2020-02-02',
    name: [based('appi-')],
    body: {
      location: orchestratorRegion,
      kind: 'web',
      properties: { Application_Type: 'web', Flow_Type: 'Bluefield', WorkspaceResourceId: idOf(logs) },
    },
  };
  const registry: Resource = {
    symbol: 'registry',
    type: 'Microsoft.ContainerRegistry/registries',
    apiVersion: '2021-09-01',
    name: [text('cr', bareBaseName)],
    body: {
      location: orchestratorRegion,
      sku: { name: 'Standard' },
      // Azure ML builds environments and pulls them by it.
      properties: { adminUserEnabled: true },
    },
  };
  const vault: Resource = {
    symbol: 'vault',
    type: 'Microsoft.KeyVault/vaults',
    apiVersion: '2022-07-01',
    name: [based('kv-')],
    body: {
      location: orchestratorRegion,
      properties: {
        tenantId: fact('tenantId'),
        sku: { name: 'standard', family: 'A' },
        accessPolicies: keyVaultPolicies,
        // The example's steps set access policies, which a vault with roles does not have.
        enableRbacAuthorization: false,
        enableSoftDelete: true,
      },
    },
  };
  const storage: Resource = {
    symbol: 'workspaceStorage',
    type: 'Microsoft.Storage/storageAccounts',
    apiVersion: STORAGE_API,
    name: [text('st', bareBaseName)],
    body: {
      location: orchestratorRegion,
      sku: { name: 'Standard_LRS' },
      kind: 'StorageV2',
      properties: {
        allowBlobPublicAccess: false,
        allowCrossTenantReplication: false,
        minimumTlsVersion: 'TLS1_2',
        supportsHttpsTrafficOnly: true,
      },
    },
  };
  const workspace: Resource = {
    symbol: 'workspace',
    type: 'Microsoft.MachineLearningServices/workspaces',
    apiVersion: ML_API,
    name: [workspaceName],
    body: {
      location: orchestratorRegion,
      identity: { type: 'SystemAssigned' },
      properties: {
        friendlyName: based('federated learning: '),
        storageAccount: idOf(storage),
        keyVault: idOf(vault),
        applicationInsights: idOf(insights),
        containerRegistry: idOf(registry),
        publicNetworkAccess: 'Enabled',
      },
    },
  };
  return { workspace, vault, all: [logs, insights, registry, vault, storage, workspace] };
}

/**
 * Lets the silos read the vault's secrets: the upload step asks for the data source's credentials. One resource for all, because a vault
 * takes one change at a time; after the workspace, which writes a policy of its own.
 */
export const vaultAccess = ({ vault, workspace }: WorkspaceResources, identities: readonly Resource[]): Resource => ({
  symbol: 'vaultAccess',
  type: 'Microsoft.KeyVault/vaults/accessPolicies',
  apiVersion: vault.apiVersion,
  name: [...vault.name, 'add'],
  body: {
    properties: {
      accessPolicies: identities.map((identity) => ({
        tenantId: fact('tenantId'),
        objectId: principalOf(identity),
        permissions: { secrets: ['get', 'list'] },
      })),
    },
  },
  after: [vault, workspace],
});
