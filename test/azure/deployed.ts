/**
 * @file A sandbox out of what a deployment made on the stand-in for the resource manager: workspace, computes, datastores, key vault and
 * identities are the group's resources, under their names. What a compute may use is what roles on storage accounts say now, and the
 * vault's policies are those of the resource, so that what one part of the stand-in changes, the other sees. Of roles it knows the one that
 * `fedrad provision` gives, on an account; roles on a whole group are not here.
 */
import type { Cleanup } from '../hospitals/tool.ts';
import type { PolicyState, VaultState } from './keyvault.ts';
import type { ComputeState, DatastoreState } from './machine-learning.ts';
import { same, scopeIn } from './resource-deployment.ts';
import type { GroupState, StoredResource } from './resource-manager.ts';
import { openSandbox, type Sandbox } from './sandbox.ts';
import type { Api, StandIn } from './stand-in.ts';

export interface Deployed extends Sandbox {
  /** Object ids of the computes' identities, by compute. */
  readonly identities: ReadonlyMap<string, string>;
}

const WORKSPACE = 'Microsoft.MachineLearningServices/workspaces';
const STORAGE_BLOB_DATA_CONTRIBUTOR = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe';

interface Workspace {
  readonly properties: { readonly storageAccount: string; readonly keyVault: string };
}

interface Compute {
  readonly identity: { readonly userAssignedIdentities: Readonly<Record<string, unknown>> };
  readonly properties: { readonly computeLocation: string; readonly properties: { readonly vmSize: string } };
}

interface Datastore {
  readonly properties: { readonly accountName: string; readonly containerName: string };
}

interface Assignment {
  readonly properties: { readonly roleDefinitionId: string; readonly principalId: string };
}

interface Vault {
  readonly properties: { accessPolicies: PolicyState[]; enableRbacAuthorization: boolean };
}

/** The group's resources of a type; their bodies were checked when they were made. */
const resourcesOf = <Body>(group: GroupState, type: string) =>
  [...group.resources.values()].filter((each) => each.type === type) as (StoredResource & { readonly value: Body })[];

const nameOf = (id: string): string => id.split('/').at(-1)!;

/** Opens the one workspace of a group. Storage is started with it: its accounts have the names that the deployment gave them. */
export async function openDeployed(
  context: Cleanup,
  standIn: StandIn,
  apis: Api[],
  subscription: string,
  group: GroupState,
): Promise<Deployed> {
  const { id, location, value } = resourcesOf<Workspace>(group, WORKSPACE)[0]!;
  const { keyVault, storageAccount } = value.properties;
  const datastores = new Map<string, DatastoreState>();
  for (const each of resourcesOf<Datastore>(group, `${WORKSPACE}/datastores`)) {
    const { accountName: account, containerName: container } = each.value.properties;
    datastores.set(nameOf(each.id), { account, container });
  }
  const mayUse = (principal: string, account: string): boolean =>
    resourcesOf<Assignment>(group, 'Microsoft.Authorization/roleAssignments').some(
      ({ id: assignment, value: { properties } }) =>
        properties.principalId === principal &&
        same(nameOf(properties.roleDefinitionId), STORAGE_BLOB_DATA_CONTRIBUTOR) &&
        same(nameOf(scopeIn(assignment)), account),
    );
  const computes = new Map<string, ComputeState>();
  const identities = new Map<string, string>();
  for (const each of resourcesOf<Compute>(group, `${WORKSPACE}/computes`)) {
    const [identity] = Object.keys(each.value.identity.userAssignedIdentities);
    const { principalId } = group.resources.get(identity!.toLowerCase())!.known;
    identities.set(nameOf(each.id), principalId);
    computes.set(nameOf(each.id), {
      vmSize: each.value.properties.properties.vmSize,
      location: each.value.properties.computeLocation,
      get datastores() {
        return [...datastores].filter(([, { account }]) => mayUse(principalId, account)).map(([name]) => name);
      },
    });
  }
  const sandbox = await openSandbox(context, standIn, apis, {
    id,
    identities,
    vault: vaultOf(group, keyVault, subscription, await standIn.anotherUrl()),
    workspace: {
      location: location!,
      keyVault,
      // Azure ML makes the container itself.
      logs: { account: nameOf(storageAccount), container: 'azureml' },
      computes,
      datastores,
      environments: new Set(),
      components: new Map(),
      jobs: new Map(),
    },
  });
  return { ...sandbox, identities };
}

function vaultOf(group: GroupState, id: string, subscription: string, url: string): VaultState {
  // Each deployment puts a new body in the place of the old one.
  const now = () => (group.resources.get(id.toLowerCase())!.value as unknown as Vault).properties;
  return {
    name: nameOf(id),
    url,
    subscription,
    group: group.name,
    get rbac() {
      return now().enableRbacAuthorization;
    },
    set rbac(on) {
      now().enableRbacAuthorization = on;
    },
    get policies() {
      return now().accessPolicies;
    },
    set policies(policies) {
      now().accessPolicies = policies;
    },
    secrets: new Map(),
  };
}
