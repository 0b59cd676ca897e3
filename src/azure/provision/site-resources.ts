/**
 * @file One site of a plan, the orchestrator or a silo: its identity, its storage with a container and a datastore of the workspace, its
 * compute clusters, and who may touch the storage. A storage account has no keys to pass on: only identities with a role get in.
 */
import {
  type Expression,
  guid,
  idOf,
  keyed,
  principalOf,
  type Resource,
  role,
  type Text,
  text,
  type Value,
} from './expressions.ts';
import { bareBaseName, baseName, gpuSize, orchestratorRegion, siloRegion, vmSize } from './parameters.ts';
import type { ProvisionPlan } from './plan.ts';
import { ML_API, STORAGE_API } from './workspace-resources.ts';

/** Reads, writes and deletes blobs. */
export const BLOB_CONTRIBUTOR = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe';
const CONTAINER = 'private';

export interface Site {
  /** `orchestrator`, `silo0`, … */
  readonly name: string;
  /** As the example shortens it in names of resources. */
  readonly short: string;
  readonly region: Expression;
  /** Whether its storage is reached from its own network only. */
  readonly private: boolean;
  readonly hasGpus: boolean;
  /** Number of its network, 10.<n>.0.0/16. */
  readonly network: number;
}

export function sitesOf({ siloRegions, gpuSize: gpus, storage }: ProvisionPlan): readonly [Site, ...Site[]] {
  return [
    {
      name: 'orchestrator',
      short: 'orch',
      region: orchestratorRegion,
      private: storage === 'private',
      hasGpus: false,
      network: 0,
    },
    ...siloRegions.map((_, silo) => ({
      name: `silo${silo}`,
      short: `silo${silo}`,
      region: siloRegion(silo),
      private: storage !== 'public',
      hasGpus: gpus !== undefined,
      network: silo + 2,
    })),
  ];
}

export interface SiteResources {
  readonly identity: Resource;
  readonly storage: Resource;
  readonly all: readonly Resource[];
}

/** @param subnet of its computes, where they have one */
export function siteResources(plan: ProvisionPlan, site: Site, workspace: Resource, subnet?: Subnet): SiteResources {
  const { name, short, region } = site;
  const identity: Resource = {
    symbol: `${short}Identity`,
    type: 'Microsoft.ManagedIdentity/userAssignedIdentities',
    apiVersion: '2023-01-31',
    name: [text('uai-', baseName, `-${short}`)],
    body: { location: region },
  };
  const storage = storageOf(site);
  const container: Resource = {
    symbol: `${short}Container`,
    type: 'Microsoft.Storage/storageAccounts/blobServices/containers',
    apiVersion: STORAGE_API,
    name: [...storage.name, 'default', CONTAINER],
    body: { properties: { publicAccess: 'None' } },
    after: [storage],
  };
  const datastore: Resource = {
    symbol: `${short}Datastore`,
    type: 'Microsoft.MachineLearningServices/workspaces/datastores',
    apiVersion: ML_API,
    name: [...workspace.name, `datastore_${name}`],
    body: {
      properties: {
        datastoreType: 'AzureBlob',
        accountName: storage.name[0]!,
        containerName: CONTAINER,
        // Whoever reads it does so by an identity of its own.
        credentials: { credentialsType: 'None' },
        description: text('storage of the ', name, ' in ', region),
      },
    },
    after: [workspace, container],
  };
  const cluster = (number: '01' | '02', size: Expression): Resource => ({
    symbol: `${short}Compute${number}`,
    type: 'Microsoft.MachineLearningServices/workspaces/computes',
    apiVersion: ML_API,
    name: [...workspace.name, `${name}-${number}`],
    body: {
      location: orchestratorRegion,
      identity: { type: 'UserAssigned', userAssignedIdentities: keyed(idOf(identity), {}) },
      properties: {
        computeType: 'AmlCompute',
        computeLocation: region,
        disableLocalAuth: true,
        properties: {
          vmPriority: 'Dedicated',
          vmSize: size,
          osType: 'Linux',
          scaleSettings: { minNodeCount: 0, maxNodeCount: plan.maxNodes, nodeIdleTimeBeforeScaleDown: 'PT300S' },
          enableNodePublicIp: true,
          remoteLoginPortPublicAccess: 'Disabled',
          ...(subnet ? { subnet: { id: subnet.id } } : {}),
        },
      },
    },
    after: [workspace, ...(subnet ? [subnet.network] : [])],
  });
  return {
    identity,
    storage,
    all: [
      identity,
      storage,
      container,
      datastore,
      blobRole(identity, storage, `${short}OwnRole`),
      cluster('01', vmSize),
      ...(site.hasGpus ? [cluster('02', gpuSize)] : []),
    ],
  };
}

export interface Subnet {
  readonly network: Resource;
  readonly id: Text;
}

function storageOf({ short, region, private: inside }: Site): Resource {
  const rules: Value = { bypass: 'AzureServices', defaultAction: inside ? 'Deny' : 'Allow' };
  return {
    symbol: `${short}Storage`,
    type: 'Microsoft.Storage/storageAccounts',
    apiVersion: STORAGE_API,
    name: [text('st', bareBaseName, short)],
    body: {
      location: region,
      sku: { name: 'Standard_LRS' },
      kind: 'StorageV2',
      properties: {
        accessTier: 'Hot',
        allowBlobPublicAccess: false,
        allowCrossTenantReplication: false,
        allowSharedKeyAccess: false,
        minimumTlsVersion: 'TLS1_2',
        supportsHttpsTrafficOnly: true,
        publicNetworkAccess: inside ? 'Disabled' : 'Enabled',
        networkAcls: rules,
      },
    },
  };
}

/** Lets an identity read and write the blobs of a storage account. */
export const blobRole = (identity: Resource, storage: Resource, symbol: string): Resource => ({
  symbol,
  type: 'Microsoft.Authorization/roleAssignments',
  apiVersion: '2022-04-01',
  // The same for the same three, so that a second deployment finds it.
  name: [guid(idOf(storage), idOf(identity), BLOB_CONTRIBUTOR)],
  scope: storage,
  body: {
    properties: {
      roleDefinitionId: role(BLOB_CONTRIBUTOR),
      principalId: principalOf(identity),
      principalType: 'ServicePrincipal',
    },
  },
});
