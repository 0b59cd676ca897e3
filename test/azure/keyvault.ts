/**
 * @file Stand-in for Azure Key Vault: the data plane's secrets (Azure/azure-rest-api-specs, Microsoft.KeyVault data-plane 2026-04-01, as the
 * models of @azure/keyvault-secrets 4.12.0 describe it) and of the resource manager a vault, the lists of vaults and their access policies
 * (Microsoft.KeyVault 2026-02-01, as those of @azure/arm-keyvault 5.0.0 do). The challenge is that of "Authentication, requests and
 * responses", refusals are worded as users of Azure have quoted them. Each vault has an address of its own. Keys, certificates, purge and
 * recovery are not here; what a role permits neither.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { type Api, type ApiReply, type ApiRequest, TENANT } from './stand-in.ts';

export interface PolicyState {
  readonly tenantId: string;
  readonly objectId: string;
  readonly applicationId?: string | undefined;
  readonly permissions: Readonly<Record<string, readonly string[] | undefined>>;
}

interface SecretVersion {
  readonly version: string;
  readonly value: string;
  readonly created: number;
}

interface SecretState {
  /** As it was written first. */
  readonly name: string;
  readonly versions: SecretVersion[];
  deleted: boolean;
}

export interface VaultState {
  readonly name: string;
  readonly url: string;
  readonly subscription: string;
  readonly group: string;
  /** Goes by roles. */
  rbac: boolean;
  policies: PolicyState[];
  /** By name in lower case. */
  readonly secrets: Map<string, SecretState>;
}

/** A vault without secrets, in which nobody may do anything. */
export const newVault = (place: Pick<VaultState, 'name' | 'url' | 'subscription' | 'group'>): VaultState => ({
  ...place,
  rbac: false,
  policies: [],
  secrets: new Map(),
});

export const policyFor = (objectId: string, ...secrets: string[]): PolicyState => ({
  tenantId: TENANT,
  objectId,
  permissions: { secrets },
});

const RESOURCE = 'https://vault.azure.net';
const DATA_VERSION = '2026-04-01';
const MANAGE_VERSION = '2026-02-01';
/** Fewer than Azure's 25, so that lists have pages. */
const PAGE = 2;

const reply = (status: number, body?: unknown, headers: Record<string, string> = {}): ApiReply => ({
  status,
  body,
  headers,
});
const refuse = (status: number, code: string, message: string, inner?: string): ApiReply =>
  reply(status, { error: { code, message, ...(inner === undefined ? {} : { innererror: { code: inner } }) } });

/** The API over these vaults. */
export function keyVaultApi(vaults: readonly VaultState[], authority: () => string): Api {
  const at = (host: string | undefined) => vaults.find(({ url }) => new URL(url).host === host);
  return Object.assign(
    async (request: ApiRequest): Promise<ApiReply | undefined> => {
      const vault = at(request.headers.host);
      return vault ? secrets(vault, request) : manage(vaults, request);
    },
    {
      unsigned: ({ headers, body }: Pick<ApiRequest, 'headers' | 'body'>): ApiReply | undefined => {
        if (!at(headers.host)) return undefined;
        // Nobody has been asked yet who he is: a secret sent already would have gone to a stranger.
        if (body !== undefined) return refuse(400, 'BadParameter', 'the first call carries a body');
        const challenge = `Bearer authorization="${authority()}/${TENANT}", resource="${RESOURCE}"`;
        return {
          ...refuse(401, 'Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.'),
          headers: { 'www-authenticate': challenge },
        };
      },
    },
  );
}

const setSchema = z.strictObject({
  value: z.string().min(1).max(25_600),
  contentType: z.string().optional(),
  tags: z.record(z.string(), z.string()).optional(),
  attributes: z.strictObject({ enabled: z.boolean().optional() }).optional(),
});

function secrets(vault: VaultState, request: ApiRequest): ApiReply {
  const { method, path, query, audience } = request;
  if (audience !== RESOURCE) return refuse(401, 'Unauthorized', `AKV10022: Invalid audience. Expected ${RESOURCE}.`);
  if (query.get('api-version') !== DATA_VERSION)
    return refuse(400, 'BadParameter', `The specified version (${query.get('api-version')}) is not recognized.`);
  const [, kind, given, version] = /^\/(secrets|deletedsecrets)(?:\/([^/]*))?(?:\/([^/]*))?$/.exec(path) ?? [];
  if (kind === undefined) return refuse(404, 'NotFound', path);
  if (given !== undefined && !/^[0-9a-zA-Z-]{1,127}$/.test(given))
    return refuse(400, 'BadParameter', `The request URI contains an invalid name: ${given}`);
  const key = given?.toLowerCase();
  const found = key === undefined ? undefined : vault.secrets.get(key);
  const missing = refuse(
    404,
    'SecretNotFound',
    `A secret with (name/id) ${given} was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command.`,
  );
  switch (`${method} ${kind}${key === undefined ? '' : '/'}`) {
    case 'GET secrets': {
      const denied = permission(vault, request, 'list', 'readMetadata');
      if (denied) return denied;
      const all = [...vault.secrets.values()].filter(({ deleted }) => !deleted);
      const from = Number(query.get('$skiptoken') ?? 0);
      const next = `${vault.url}/secrets?api-version=${DATA_VERSION}&$skiptoken=${from + PAGE}`;
      return reply(200, {
        value: all.slice(from, from + PAGE).map((each) => ({
          id: `${vault.url}/secrets/${each.name}`,
          attributes: attributes(each, each.versions.at(-1)!),
        })),
        nextLink: from + PAGE < all.length ? next : null,
      });
    }
    case 'GET secrets/': {
      const denied = permission(vault, request, 'get', 'getSecret');
      if (denied) return denied;
      const wanted = found?.versions.find((each) => !version || each.version === version);
      const current = version ? wanted : found?.versions.at(-1);
      return found && !found.deleted && current ? reply(200, bundle(vault, found, current, true)) : missing;
    }
    case 'PUT secrets/': {
      const denied = permission(vault, request, 'set', 'setSecret');
      if (denied) return denied;
      const checked = setSchema.safeParse(request.body);
      if (!checked.success) return refuse(400, 'BadParameter', z.prettifyError(checked.error));
      if (found?.deleted)
        return refuse(
          409,
          'Conflict',
          `Secret ${given} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged.`,
          'ObjectIsDeletedButRecoverable',
        );
      const secret = found ?? { name: given!, versions: [], deleted: false };
      const made = {
        version: randomUUID().replaceAll('-', ''),
        value: checked.data.value,
        created: Math.floor(Date.now() / 1000),
      };
      secret.versions.push(made);
      vault.secrets.set(key!, secret);
      return reply(200, bundle(vault, secret, made, true));
    }
    case 'DELETE secrets/': {
      const denied = permission(vault, request, 'delete', 'delete');
      if (denied) return denied;
      if (!found || found.deleted) return missing;
      found.deleted = true;
      return reply(200, deletedBundle(vault, found));
    }
    case 'GET deletedsecrets/': {
      const denied = permission(vault, request, 'get', 'getSecret');
      if (denied) return denied;
      return found?.deleted ? reply(200, deletedBundle(vault, found)) : missing;
    }
    default:
      return refuse(405, 'MethodNotAllowed', `${method} ${path}`);
  }
}

function permission(
  vault: VaultState,
  { caller, path }: ApiRequest,
  needed: string,
  action: string,
): ApiReply | undefined {
  const identity = `appid=33333333-3333-3333-3333-333333333333;oid=${caller.objectId};iss=https://sts.windows.net/${TENANT}/`;
  if (vault.rbac)
    return refuse(
      403,
      'Forbidden',
      `Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: ${identity}\r\nAction: 'Microsoft.KeyVault/vaults/secrets/${action}/action'\r\nResource: '${idOf(vault).toLowerCase()}${path}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: ${vault.name};location=westeurope\r\n`,
      'ForbiddenByRbac',
    );
  const granted =
    vault.policies.find((each) => each.objectId === caller.objectId && each.applicationId === undefined)?.permissions[
      'secrets'
    ] ?? [];
  if (granted.some((each) => each.toLowerCase() === needed || each.toLowerCase() === 'all')) return undefined;
  return refuse(
    403,
    'Forbidden',
    `The user, group or application '${identity}' does not have secrets ${needed} permission on key vault '${vault.name};location=westeurope'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287`,
    'AccessDenied',
  );
}

const attributes = ({ versions }: SecretState, { created }: SecretVersion) => ({
  enabled: true,
  created: versions[0]!.created,
  updated: created,
  recoveryLevel: 'Recoverable+Purgeable',
  recoverableDays: 90,
});

const bundle = ({ url }: VaultState, secret: SecretState, version: SecretVersion, withValue: boolean) => ({
  ...(withValue ? { value: version.value } : {}),
  id: `${url}/secrets/${secret.name}/${version.version}`,
  attributes: attributes(secret, version),
});

const deletedBundle = (vault: VaultState, secret: SecretState) => ({
  ...bundle(vault, secret, secret.versions.at(-1)!, false),
  recoveryId: `${vault.url}/deletedsecrets/${secret.name}`,
  deletedDate: 0,
  scheduledPurgeDate: 0,
});

const idOf = ({ subscription, group, name }: VaultState): string =>
  `/subscriptions/${subscription}/resourceGroups/${group}/providers/Microsoft.KeyVault/vaults/${name}`;

const SECRETS = z
  .string()
  .toLowerCase()
  .pipe(z.enum(['all', 'get', 'list', 'set', 'delete', 'backup', 'restore', 'recover', 'purge']));
const policiesSchema = z.strictObject({
  properties: z.strictObject({
    accessPolicies: z.array(
      z.strictObject({
        tenantId: z.guid(),
        objectId: z.string().min(1),
        applicationId: z.guid().optional(),
        permissions: z.strictObject({
          keys: z.array(z.string()).optional(),
          secrets: z.array(SECRETS).optional(),
          certificates: z.array(z.string()).optional(),
          storage: z.array(z.string()).optional(),
        }),
      }),
    ),
  }),
});

function manage(vaults: readonly VaultState[], request: ApiRequest): ApiReply | undefined {
  const { method, path, query } = request;
  const [, subscription, group, name, kind] =
    /^\/+subscriptions\/([^/]+)(?:\/resourceGroups\/([^/]+))?\/providers\/Microsoft\.KeyVault\/vaults(?:\/([^/]+))?(?:\/accessPolicies\/(add|replace|remove))?$/i.exec(
      path,
    ) ?? [];
  if (subscription === undefined) return undefined;
  if (query.get('api-version') !== MANAGE_VERSION)
    return refuse(400, 'InvalidApiVersionParameter', `The api-version '${query.get('api-version')}' is invalid.`);
  const own = vaults.filter((each) => each.subscription === subscription);
  if (own.length === 0)
    return refuse(404, 'SubscriptionNotFound', `The subscription '${subscription}' could not be found.`);
  if (name === undefined) return method === 'GET' ? reply(200, { value: own.map(described) }) : undefined;
  const vault = own.find((each) => each.name === name.toLowerCase() && each.group === group);
  if (!vault) return refuse(404, 'ResourceNotFound', `The Resource 'Microsoft.KeyVault/vaults/${name}' was not found.`);
  if (kind === undefined) return method === 'GET' ? reply(200, described(vault)) : undefined;
  if (method !== 'PUT') return refuse(405, 'MethodNotAllowed', method);
  const checked = policiesSchema.safeParse(request.body);
  if (!checked.success) return refuse(400, 'BadRequest', z.prettifyError(checked.error));
  for (const entry of checked.data.properties.accessPolicies) {
    const at = vault.policies.findIndex(
      ({ objectId, applicationId }) => objectId === entry.objectId && applicationId === entry.applicationId,
    );
    if (at === -1 && kind !== 'add') return refuse(400, 'BadRequest', `there is no policy of ${entry.objectId}`);
    const others = vault.policies.filter((_, index) => index !== at);
    if (kind === 'remove') vault.policies = others;
    else if (kind === 'replace' || at === -1) vault.policies = [...others, entry];
    else return refuse(400, 'BadRequest', 'the stand-in does not add to a policy that is there');
  }
  return reply(200, { id: `${idOf(vault)}/accessPolicies/`, properties: { accessPolicies: vault.policies } });
}

const described = (vault: VaultState) => ({
  id: idOf(vault),
  name: vault.name,
  type: 'Microsoft.KeyVault/vaults',
  location: 'westeurope',
  properties: {
    tenantId: TENANT,
    sku: { family: 'A', name: 'standard' },
    accessPolicies: vault.policies,
    enableRbacAuthorization: vault.rbac,
    enableSoftDelete: true,
    vaultUri: `${vault.url}/`,
  },
});
