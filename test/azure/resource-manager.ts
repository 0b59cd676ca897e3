/**
 * @file Stand-in for the resource manager: resource groups, providers, resources by id, and deployments with validate, what-if and
 * operations (Microsoft.Resources, api-version 2025-04-01, as the models of @azure/arm-resources 8.0.0 and @azure/arm-resourcesdeployments
 * 2.0.0 describe it). A deployment goes on by a few resources with each look at it. What Azure refuses beyond its published rules it does
 * not know.
 */
import { isDeepStrictEqual } from 'node:util';
import { InvalidTemplate } from './arm-expressions.ts';
import {
  type AzureProblem,
  type DeploymentBody,
  deploymentSchema,
  evaluateBody,
  makeResource,
  type PlannedResource,
  readTemplate,
  same,
  type Target,
} from './resource-deployment.ts';
import { REGIONS } from './resource-kinds.ts';
import type { Api, ApiReply, ApiRequest } from './stand-in.ts';

export interface StoredResource {
  readonly id: string;
  readonly type: string;
  readonly apiVersion: string;
  readonly location?: string;
  readonly value: Record<string, unknown>;
  /** What `reference()` gives. */
  readonly known: { readonly principalId: string };
}

export interface DeploymentState {
  readonly name: string;
  readonly body: DeploymentBody;
  readonly planned: readonly PlannedResource[];
  state: 'Accepted' | 'Running' | 'Succeeded' | 'Failed';
  readonly done: Map<string, AzureProblem | undefined>;
}

export interface GroupState {
  readonly name: string;
  readonly location: string;
  /** By id in lower case. */
  readonly resources: Map<string, StoredResource>;
  readonly deployments: Map<string, DeploymentState>;
}

export interface SubscriptionState {
  /** By namespace; one that is not here is not registered. */
  readonly providers: Map<string, 'Registering' | 'Registered'>;
  /** By name in lower case. */
  readonly groups: Map<string, GroupState>;
  /** Whether the caller may give roles. */
  owner: boolean;
  /** Cores by region; 100 where nothing is said. */
  readonly coreQuota: Map<string, number>;
  /** Resources that were written so far. */
  writes: number;
}

export interface ResourceManager {
  readonly tenantId: string;
  readonly subscriptions: Map<string, SubscriptionState>;
  /** Names that somebody else has. */
  readonly takenNames: Set<string>;
  readonly deletedVaults: Set<string>;
}

export const newSubscription = (): SubscriptionState => ({
  providers: new Map(),
  groups: new Map(),
  owner: true,
  coreQuota: new Map(),
  writes: 0,
});

const API_VERSION = '2025-04-01';
/** Resources that a deployment makes between two looks. */
const AT_A_TIME = 12;
const PAGE = 20;

const reply = (status: number, body?: unknown, headers: Record<string, string> = {}): ApiReply => ({
  status,
  body,
  headers,
});
const error = (status: number, code: string, message: string): ApiReply => reply(status, { error: { code, message } });

/** @param url base of the stand-in, for links */
export function resourceManagerApi(manager: ResourceManager, url: () => string): Api {
  /** What-ifs by their number, with the looks until each is ready. */
  const whatIfs = new Map<string, { looks: number; readonly body: unknown }>();

  return async (request) => {
    const [, subscriptionId, rest = ''] = /^\/+subscriptions\/([^/]+)(\/.*)?$/.exec(request.path) ?? [];
    if (subscriptionId === undefined) return undefined;
    const subscription = manager.subscriptions.get(subscriptionId);
    if (!subscription)
      return error(404, 'SubscriptionNotFound', `The subscription '${subscriptionId}' could not be found.`);
    const operation = /^\/operationresults\/(\w+)$/.exec(rest)?.[1];
    if (operation !== undefined) return whatIfResult(operation);
    const provider = /^\/providers\/(Microsoft\.\w+)(\/register)?$/.exec(rest);
    if (provider)
      return versioned(request) ?? providers(subscription, provider[1]!, provider[2] !== undefined, request);
    const [, groupName, within] = /^\/resourcegroups\/([^/]+)(\/.*)?$/i.exec(rest) ?? [];
    if (groupName === undefined) return undefined;
    const group = subscription.groups.get(groupName.toLowerCase());
    if (within === undefined) return versioned(request) ?? groups(subscription, groupName, group, request);
    // Operations alone are without the provider in their path.
    const deployment =
      /^\/providers\/Microsoft\.Resources\/deployments\/([^/]+)(?:\/(validate|whatIf))?$/.exec(within) ??
      /^\/deployments\/([^/]+)\/(operations)$/.exec(within);
    const resource = group?.resources.get(request.path.replace(/^\/+/, '/').toLowerCase());
    if (!group) return error(404, 'ResourceGroupNotFound', `Resource group '${groupName}' could not be found.`);
    const target: Target = { manager, subscriptionId, subscription, group };
    if (deployment) return versioned(request) ?? deployments(target, deployment[1]!, deployment[2], request);
    if (request.method !== 'GET' || !/^\/providers\/Microsoft\.KeyVault\/vaults\/[^/]+$/.test(within)) return undefined;
    if (!resource) return error(404, 'ResourceNotFound', `The Resource '${request.path}' was not found.`);
    // Another version of it is for the stand-in for Key Vault, where there is one.
    if (request.query.get('api-version') !== resource.apiVersion) return undefined;
    return reply(200, { id: resource.id, type: resource.type, location: resource.location, ...resource.value });
  };

  function versioned({ query }: ApiRequest): ApiReply | undefined {
    return query.get('api-version') === API_VERSION
      ? undefined
      : error(
          400,
          'InvalidApiVersionParameter',
          `The api-version '${query.get('api-version')}' is not ${API_VERSION}.`,
        );
  }

  function providers(
    { providers: known }: SubscriptionState,
    namespace: string,
    register: boolean,
    { method }: ApiRequest,
  ): ApiReply {
    if (register && method === 'POST') known.set(namespace, 'Registering');
    else if (method !== 'GET') return error(405, 'MethodNotAllowed', method);
    const registrationState = known.get(namespace) ?? 'NotRegistered';
    if (!register && registrationState === 'Registering') known.set(namespace, 'Registered');
    return reply(200, { namespace, registrationState, registrationPolicy: 'RegistrationRequired', resourceTypes: [] });
  }

  function groups(
    { groups: known }: SubscriptionState,
    name: string,
    group: GroupState | undefined,
    request: ApiRequest,
  ): ApiReply {
    const described = (each: GroupState) => ({
      name: each.name,
      location: each.location,
      properties: { provisioningState: 'Succeeded' },
    });
    if (request.method === 'GET')
      return group
        ? reply(200, described(group))
        : error(404, 'ResourceGroupNotFound', `Resource group '${name}' could not be found.`);
    if (request.method !== 'PUT') return error(405, 'MethodNotAllowed', request.method);
    const { location } = request.body as { location?: string };
    if (location === undefined || !REGIONS.has(location))
      return error(
        400,
        'LocationNotAvailableForResourceGroup',
        `The provided location '${location}' is not available.`,
      );
    if (group) return reply(200, described(group));
    const made: GroupState = { name, location, resources: new Map(), deployments: new Map() };
    known.set(name.toLowerCase(), made);
    return reply(201, described(made));
  }

  function deployments(
    target: Target,
    name: string,
    action: string | undefined,
    request: ApiRequest,
  ): ApiReply | undefined {
    const { group } = target;
    const known = group.deployments.get(name);
    const { method } = request;
    if (method === 'GET' && (action === undefined || action === 'operations')) {
      if (!known) return error(404, 'DeploymentNotFound', `Deployment '${name}' could not be found.`);
      if (action === 'operations') return operations(known, request);
      advance(known, target);
      return reply(200, described(known));
    }
    const checked = deploymentSchema.safeParse(request.body);
    if (!checked.success) return error(400, 'InvalidRequestContent', checked.error.message);
    const body = checked.data.properties;
    let planned: readonly PlannedResource[];
    try {
      planned = readTemplate(body, target);
    } catch (cause) {
      if (!(cause instanceof InvalidTemplate)) throw cause;
      return error(400, 'InvalidTemplate', `Deployment template validation failed: '${cause.message}'.`);
    }
    const refused = preflight(planned, target, request);
    if (refused) return refused;
    if (method === 'POST' && action === 'validate')
      return reply(200, { properties: { provisioningState: 'Succeeded' } });
    if (method === 'POST' && action === 'whatIf') {
      const number = String(whatIfs.size + 1);
      whatIfs.set(number, {
        looks: 1,
        body: { status: 'Succeeded', properties: { changes: changes(planned, body, target) } },
      });
      const location = `${url()}/subscriptions/${target.subscriptionId}/operationresults/${number}?api-version=${API_VERSION}`;
      return reply(202, undefined, { location, 'retry-after': '1' });
    }
    if (method !== 'PUT' || action !== undefined) return undefined;
    if (known && (known.state === 'Accepted' || known.state === 'Running'))
      return error(409, 'DeploymentActive', `Unable to edit or replace deployment '${name}': it is active.`);
    const made: DeploymentState = { name, body, planned, state: 'Accepted', done: new Map() };
    group.deployments.set(name, made);
    return reply(201, described(made), { 'retry-after': '1' });
  }

  function preflight(
    planned: readonly PlannedResource[],
    { subscription }: Target,
    { caller }: ApiRequest,
  ): ApiReply | undefined {
    for (const { type } of planned) {
      const namespace = type.split('/')[0]!;
      if (subscription.providers.get(namespace) !== 'Registered')
        return error(
          409,
          'MissingSubscriptionRegistration',
          `The subscription is not registered to use namespace '${namespace}'.`,
        );
    }
    const roles = planned.filter(({ type }) => type === 'Microsoft.Authorization/roleAssignments');
    if (subscription.owner || roles.length === 0) return undefined;
    const sentences = roles.map(
      ({ id, name, type }) =>
        `Authorization failed for template resource '${name}' of type '${type}'. The client '${caller.objectId}' with object id '${caller.objectId}' does not have permission to perform action 'Microsoft.Authorization/roleAssignments/write' at scope '${id}'.`,
    );
    return error(403, 'InvalidTemplateDeployment', `Deployment failed with multiple errors: '${sentences.join(':')}'`);
  }

  function whatIfResult(number: string): ApiReply {
    const found = whatIfs.get(number);
    if (!found) return error(404, 'NotFound', number);
    found.looks -= 1;
    return found.looks < 0 ? reply(200, found.body) : reply(202, undefined, { 'retry-after': '1' });
  }

  function operations({ planned, done }: DeploymentState, { query, path }: ApiRequest): ApiReply {
    const all = [...done].map(([id, problem], index) => {
      const { type, name: resourceName } = planned.find((each) => each.id === id)!;
      return {
        id: `${path}/${index}`,
        operationId: String(index),
        properties: {
          provisioningOperation: 'Create',
          provisioningState: problem ? 'Failed' : 'Succeeded',
          statusCode: problem ? 'Conflict' : 'OK',
          targetResource: { id, resourceType: type, resourceName },
          ...(problem ? { statusMessage: { error: problem } } : {}),
        },
      };
    });
    const from = Number(query.get('$skiptoken') ?? 0);
    const next = `${url()}${path}?api-version=${API_VERSION}&$skiptoken=${from + PAGE}`;
    return reply(200, { value: all.slice(from, from + PAGE), ...(from + PAGE < all.length ? { nextLink: next } : {}) });
  }
}

const described = ({ name, state, done }: DeploymentState) => ({
  name,
  properties: {
    provisioningState: state,
    mode: 'Incremental',
    ...(state === 'Failed'
      ? {
          error: {
            code: 'DeploymentFailed',
            message: 'At least one resource deployment operation failed.',
            details: [...done.values()].filter((each) => each !== undefined),
          },
        }
      : {}),
  },
});

/** Makes what is ready; ends the deployment at the look at which nothing is any more. */
function advance(deployment: DeploymentState, target: Target): void {
  const { planned, done, body } = deployment;
  if (deployment.state === 'Succeeded' || deployment.state === 'Failed') return;
  deployment.state = 'Running';
  const finished = (id: string) => [...done].some(([each, problem]) => same(each, id) && problem === undefined);
  const nextReady = () => planned.findLast(({ id, dependsOn }) => !done.has(id) && dependsOn.every(finished));
  if (!nextReady()) {
    deployment.state =
      done.size === planned.length && [...done.values()].every((each) => !each) ? 'Succeeded' : 'Failed';
    return;
  }
  for (let count = 0; count < AT_A_TIME; count++) {
    const ready = nextReady();
    if (ready) done.set(ready.id, makeResource(ready, body, target));
  }
}

function changes(planned: readonly PlannedResource[], body: DeploymentBody, target: Target): unknown[] {
  return planned.map((resource) => {
    const before = target.group.resources.get(resource.id.toLowerCase());
    const after = evaluateBody(resource, body, target).value;
    // The policies that an "add" adds are inside the vault.
    if (resource.type.endsWith('/accessPolicies')) return { resourceId: resource.id, changeType: 'Ignore' };
    if (!before) return { resourceId: resource.id, changeType: 'Create', after };
    const delta = differences(before.value, after, '');
    return {
      resourceId: resource.id,
      changeType: delta.length > 0 ? 'Modify' : 'NoChange',
      before: before.value,
      after,
      delta,
    };
  });
}

function differences(before: unknown, after: unknown, path: string): { path: string; propertyChangeType: string }[] {
  if (isDeepStrictEqual(before, after)) return [];
  const objects = [before, after].every((each) => typeof each === 'object' && each !== null && !Array.isArray(each));
  if (!objects) return [{ path, propertyChangeType: 'Modify' }];
  const keys = new Set([...Object.keys(before as object), ...Object.keys(after as object)]);
  return [...keys].flatMap((key) =>
    differences(
      (before as Record<string, unknown>)[key],
      (after as Record<string, unknown>)[key],
      path === '' ? key : `${path}.${key}`,
    ),
  );
}
