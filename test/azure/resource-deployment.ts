/**
 * @file Deployments of the stand-in for the resource manager: reads a template, refuses what Azure's published rules refuse, and makes its
 * resources one after the other, always the last ready one of the template first, so that an order that is not written down is not kept by
 * luck.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { evaluate, InvalidTemplate, type Scope, typedPath } from './arm-expressions.ts';
import { KINDS, type policySchema, VM_CORES } from './resource-kinds.ts';
import type { GroupState, ResourceManager, StoredResource, SubscriptionState } from './resource-manager.ts';

export interface AzureProblem {
  readonly code: string;
  readonly message: string;
  readonly target?: string;
}

export interface PlannedResource {
  readonly id: string;
  readonly type: string;
  readonly apiVersion: string;
  readonly name: string;
  readonly dependsOn: readonly string[];
  /** As in the template, before anything is computed. */
  readonly source: Readonly<Record<string, unknown>>;
}

export interface Target {
  readonly manager: ResourceManager;
  readonly subscriptionId: string;
  readonly subscription: SubscriptionState;
  readonly group: GroupState;
}

const parameterSchema = z.strictObject({
  type: z.enum(['string', 'array']),
  defaultValue: z.unknown(),
  minLength: z.int().optional(),
  maxLength: z.int().optional(),
  metadata: z.strictObject({ description: z.string() }),
});

const templateSchema = z.strictObject({
  $schema: z.literal('https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#'),
  contentVersion: z.string().regex(/^\d+\.\d+\.\d+\.\d+$/),
  parameters: z.record(z.string().regex(/^[A-Za-z]\w*$/), parameterSchema),
  resources: z
    .array(
      z.looseObject({
        type: z.string(),
        apiVersion: z.string(),
        name: z.string(),
        scope: z.string().optional(),
        dependsOn: z.array(z.string()).optional(),
      }),
    )
    .max(800),
  outputs: z.record(z.string(), z.strictObject({ type: z.literal('string'), value: z.string() })),
});

export const deploymentSchema = z.strictObject({
  properties: z.strictObject({
    template: templateSchema,
    parameters: z.record(z.string(), z.strictObject({ value: z.unknown() })),
    mode: z.literal('Incremental'),
    whatIfSettings: z.strictObject({ resultFormat: z.enum(['ResourceIdOnly', 'FullResourcePayloads']) }).optional(),
  }),
});
export type DeploymentBody = z.infer<typeof deploymentSchema>['properties'];

export const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** The resources of a template, in its order. @throws InvalidTemplate */
export function readTemplate({ template, parameters }: DeploymentBody, target: Target): readonly PlannedResource[] {
  const scope = scopeOf({ template, parameters, mode: 'Incremental' }, target);
  const planned = template.resources.map((source): PlannedResource => {
    const { type, apiVersion } = source;
    const kind = KINDS[type];
    if (!kind) throw new InvalidTemplate(`the resource type '${type}' could not be found`);
    if (kind.apiVersion !== apiVersion)
      throw new InvalidTemplate(`no registered api-version '${apiVersion}' of '${type}'`);
    const name = String(evaluate(source.name, scope));
    const path = typedPath(type, name.split('/'));
    const base = source.scope === undefined ? groupId(target) : String(evaluate(source.scope, scope));
    if (!kind.name.test(name.split('/').at(-1)!)) throw new InvalidTemplate(`'${name}' is no name of a ${type}`);
    return {
      id: `${base}/providers/${path}`,
      type,
      apiVersion,
      name,
      dependsOn: (source.dependsOn ?? []).map((each) => String(evaluate(each, scope))),
      source,
    };
  });
  for (const { id, dependsOn } of planned) {
    if (planned.filter((each) => same(each.id, id)).length > 1) throw new InvalidTemplate(`'${id}' is there twice`);
    for (const other of dependsOn) {
      if (!planned.some((each) => same(each.id, other)))
        throw new InvalidTemplate(`the resource '${other}' is not defined in the template`);
    }
  }
  for (const { value } of Object.values(template.outputs)) evaluate(value, scope);
  return planned;
}

const groupId = ({ subscriptionId, group }: Target): string =>
  `/subscriptions/${subscriptionId}/resourceGroups/${group.name}`;

function scopeOf({ template, parameters }: DeploymentBody, { manager, subscriptionId, group }: Target): Scope {
  for (const name of Object.keys(parameters)) {
    if (!template.parameters[name]) throw new InvalidTemplate(`the parameter '${name}' is not in the template`);
  }
  const values = Object.entries(template.parameters).map(
    ([name, { type, defaultValue, minLength = 0, maxLength = 1e6 }]) => {
      const value = parameters[name]?.value ?? defaultValue;
      const fits = type === 'string' ? typeof value === 'string' : Array.isArray(value);
      const { length } = value as string | unknown[];
      if (!fits || length < minLength || length > maxLength)
        throw new InvalidTemplate(`the value of the parameter '${name}' is not valid`);
      return [name, value] as const;
    },
  );
  return {
    parameters: Object.fromEntries(values),
    subscriptionId,
    tenantId: manager.tenantId,
    resourceGroup: group.name,
  };
}

/** The body of a resource with everything computed that can be; what cannot yet is left out of `complete`. */
export function evaluateBody(resource: PlannedResource, body: DeploymentBody, target: Target) {
  const { type: _t, apiVersion: _a, name: _n, scope: _s, dependsOn: _d, ...rest } = resource.source;
  let complete = true;
  const reference = (id: string): unknown => {
    const found = target.group.resources.get(id.toLowerCase());
    if (found) return found.known;
    complete = false;
    return { principalId: '00000000-0000-0000-0000-000000000000' };
  };
  const value = evaluate(rest, { ...scopeOf(body, target), reference }) as Record<string, unknown>;
  return { value, complete };
}

/** Makes one resource; gives what Azure has against it. */
export function makeResource(
  resource: PlannedResource,
  body: DeploymentBody,
  target: Target,
): AzureProblem | undefined {
  const { manager, subscription, group } = target;
  const { id, type, name } = resource;
  const kind = KINDS[type]!;
  const short = name.split('/').at(-1)!;
  const { value, complete } = evaluateBody(resource, body, target);
  if (!complete) return problem('ResourceNotFound', `reference() in '${id}' asks for what is not there yet`);
  const checked = kind.body.safeParse(value);
  if (!checked.success) return problem('InvalidRequestContent', `${type} '${name}': ${z.prettifyError(checked.error)}`);
  const missing = idsIn(value).find((each) => !exists(each, group));
  if (missing) return problem('ResourceNotFound', `The Resource '${missing}' was not found.`);
  const parent = parentOf(id);
  if (parent && !exists(parent, group)) return problem('ParentResourceNotFound', `'${parent}' could not be found.`);
  const before = group.resources.get(id.toLowerCase());
  if (kind.global && !before && manager.takenNames.has(short.toLowerCase()))
    return type === 'Microsoft.KeyVault/vaults'
      ? problem('VaultAlreadyExists', `The vault name '${short}' is already in use. Vault names are globally unique.`)
      : problem('StorageAccountAlreadyTaken', `The storage account named ${short} is already taken.`);
  const { location } = value as { location?: string };
  if (before?.location !== undefined && before.location !== location)
    return problem(
      'InvalidResourceLocation',
      `The resource '${short}' already exists in location '${before.location}'.`,
    );
  const refused = RULES[type]?.(resource, value, target);
  if (refused) return refused;
  if (type === 'Microsoft.KeyVault/vaults/accessPolicies') return undefined;
  const stored: StoredResource = {
    id,
    type,
    apiVersion: resource.apiVersion,
    ...(location === undefined ? {} : { location }),
    value,
    known: before?.known ?? { principalId: randomUUID() },
  };
  group.resources.set(id.toLowerCase(), stored);
  subscription.writes += 1;
  AFTER[type]?.(stored, target);
  return undefined;
}

const problem = (code: string, message: string): AzureProblem => ({ code, message });

type Rule = (resource: PlannedResource, value: Record<string, unknown>, target: Target) => AzureProblem | undefined;

interface Vault {
  properties: { accessPolicies: z.infer<typeof policySchema>[] };
}

const RULES: Readonly<Record<string, Rule>> = {
  'Microsoft.KeyVault/vaults': ({ name }, _, { manager }) =>
    manager.deletedVaults.has(name)
      ? problem(
          'ConflictError',
          'A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault.',
        )
      : undefined,
  'Microsoft.KeyVault/vaults/accessPolicies': ({ id }, value, { group }) => {
    const vault = group.resources.get(parentOf(id)!.toLowerCase())!.value as unknown as Vault;
    const added = (value as unknown as Vault).properties.accessPolicies;
    const policies = vault.properties.accessPolicies;
    for (const each of added) {
      const at = policies.findIndex(({ objectId }) => objectId === each.objectId);
      if (at === -1) policies.push(each);
      else policies[at] = each;
    }
    return undefined;
  },
  'Microsoft.MachineLearningServices/workspaces/computes': (_, value, { subscription }) => {
    const { computeLocation: region, properties } = value['properties'] as {
      computeLocation: string;
      properties: { vmSize: string; scaleSettings: { maxNodeCount: number } };
    };
    const cores = VM_CORES[properties.vmSize];
    if (cores === undefined)
      return problem('InvalidVMSize', `The VM size ${properties.vmSize} is not available in ${region}.`);
    const asked = cores * properties.scaleSettings.maxNodeCount;
    const quota = subscription.coreQuota.get(region) ?? 100;
    return asked > quota
      ? problem(
          'QuotaExceeded',
          `${asked} cores of ${properties.vmSize} in ${region} are more than the quota of ${quota}.`,
        )
      : undefined;
  },
  'Microsoft.MachineLearningServices/workspaces/datastores': (_, value, { group }) => {
    const { accountName, containerName } = value['properties'] as { accountName: string; containerName: string };
    const suffix = `/storageaccounts/${accountName}/blobservices/default/containers/${containerName}`.toLowerCase();
    return [...group.resources.keys()].some((id) => id.endsWith(suffix))
      ? undefined
      : problem('ValidationError', `There is no container ${containerName} of ${accountName}.`);
  },
  'Microsoft.Authorization/roleAssignments': ({ id }, value, { group }) => {
    const { principalId, roleDefinitionId } = value['properties'] as { principalId: string; roleDefinitionId: string };
    const resources = [...group.resources.values()];
    const before = group.resources.get(id.toLowerCase())?.value['properties'] as { principalId: string } | undefined;
    if (before && before.principalId !== principalId)
      return problem(
        'RoleAssignmentUpdateNotPermitted',
        'Tenant ID, application ID, principal ID, and scope are not allowed to be updated.',
      );
    if (!resources.some(({ known }) => known.principalId === principalId))
      return problem('PrincipalNotFound', `Principal ${principalId} does not exist in the directory.`);
    const twin = resources.find(({ id: other, value: { properties } }) => {
      const its = properties as { principalId?: string; roleDefinitionId?: string } | undefined;
      return (
        !same(other, id) &&
        same(scopeIn(other), scopeIn(id)) &&
        its?.principalId === principalId &&
        its.roleDefinitionId === roleDefinitionId
      );
    });
    return twin ? problem('RoleAssignmentExists', 'The role assignment already exists.') : undefined;
  },
  'Microsoft.Network/virtualNetworks/virtualNetworkPeerings': ({ id }, value, { group }) => {
    const { remoteVirtualNetwork } = value['properties'] as { remoteVirtualNetwork: { id: string } };
    const spaces = [parentOf(id)!, remoteVirtualNetwork.id].map(
      (each) =>
        (
          group.resources.get(each.toLowerCase())!.value['properties'] as {
            addressSpace: { addressPrefixes: string[] };
          }
        ).addressSpace.addressPrefixes[0],
    );
    return spaces[0] === spaces[1] ? problem('VnetAddressSpacesOverlap', `both networks are ${spaces[0]}`) : undefined;
  },
};

const AFTER: Readonly<Record<string, (stored: StoredResource, target: Target) => void>> = {
  // Azure ML gives its own identity access to the vault.
  'Microsoft.MachineLearningServices/workspaces': ({ value, known }, { group, manager }) => {
    const { keyVault } = value['properties'] as { keyVault: string };
    const vault = group.resources.get(keyVault.toLowerCase())!.value as unknown as Vault;
    if (vault.properties.accessPolicies.some(({ objectId }) => objectId === known.principalId)) return;
    vault.properties.accessPolicies.push({
      tenantId: manager.tenantId,
      objectId: known.principalId,
      permissions: { secrets: ['all'] },
    });
  },
};

/** What an assignment of a role is about. */
export const scopeIn = (id: string): string => id.slice(0, id.lastIndexOf('/providers/'));

/** Of a resource inside another: the other's id. Services such as `blobServices/default` come with their account. */
function parentOf(id: string): string | undefined {
  const [, , , ...rest] = id.slice(id.lastIndexOf('/providers/')).split('/').slice(1);
  if (/\/roleAssignments\/[^/]+$/i.test(id)) return scopeIn(id);
  if (rest.length <= 2) return undefined;
  const parent = id.split('/').slice(0, -2).join('/');
  return parent.endsWith('/blobServices/default') ? parent.split('/').slice(0, -2).join('/') : parent;
}

/** Ids of other resources anywhere in a body, as keys too. */
function idsIn(value: unknown): string[] {
  if (typeof value === 'string')
    return value.startsWith('/subscriptions/') && !value.includes('/roleDefinitions/') ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [...idsIn(key), ...idsIn(inner)]);
}

function exists(id: string, group: GroupState): boolean {
  if (group.resources.has(id.toLowerCase())) return true;
  const subnet = /^(.+\/virtualNetworks\/[^/]+)\/subnets\/([^/]+)$/i.exec(id);
  const network = subnet && group.resources.get(subnet[1]!.toLowerCase());
  const { subnets = [] } = (network?.value['properties'] ?? {}) as { subnets?: { name: string }[] };
  return subnets.some(({ name }) => name === subnet?.[2]);
}
