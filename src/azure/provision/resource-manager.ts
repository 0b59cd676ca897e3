/**
 * @file What provisioning asks of the resource manager, by Microsoft's own clients (API version 2025-04-01): the group, the providers, the
 * key vault that may exist, and the deployment. The clients try again where Azure says 429 or 5xx and honour Retry-After; each call has a
 * deadline beside that.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TokenCredential } from '@azure/identity';
import { z } from 'zod';
import { FedradError, fail, orAborted } from '../../base/index.ts';
import { explainAzure, explained, statusOf } from '../errors.ts';
import type { ArmTemplate } from './arm-json.ts';
import type { AzureError, Place } from './remedies.ts';

export interface ManagerOptions extends Place {
  readonly credential: TokenCredential;
  /** Base URL of the resource manager. */
  readonly resourceManager: string;
  /** Between two looks at a deployment, in milliseconds; default 5000. */
  readonly lookMs?: number;
  /** Breaks off what only looks, and the waiting; never a call that makes something. */
  readonly signal?: AbortSignal;
}

/** One resource of a deployment, as Azure's operations tell it. */
export interface ResourceOperation {
  readonly id: string;
  readonly type: string;
  readonly state: string;
  readonly error?: AzureError;
}

export interface PlannedChange {
  /** Create, Modify, NoChange, Delete, Ignore, Deploy or Unsupported. */
  readonly change: string;
  readonly id: string;
  /** Paths of properties that would be another. */
  readonly properties: readonly string[];
}

export type VaultPolicies = readonly Record<string, unknown>[];

export interface Manager {
  /** Region of the group; undefined where there is none. */
  groupRegion(): Promise<string | undefined>;
  makeGroup(region: string): Promise<void>;
  /** Registers what is not registered yet; gives the namespaces that were not. Waits at most ten minutes. */
  registerProviders(namespaces: readonly string[]): Promise<readonly string[]>;
  /** The access policies of a vault of the group; none where there is no such vault. */
  vaultPolicies(vault: string): Promise<VaultPolicies>;
  /** What is wrong with it before anything is made; undefined: nothing that Azure sees. */
  validate(deployment: string, template: ArmTemplate, parameters: Parameters): Promise<AzureError | undefined>;
  whatIf(deployment: string, template: ArmTemplate, parameters: Parameters): Promise<readonly PlannedChange[]>;
  /** Whether a deployment of that name is going on. */
  isActive(deployment: string): Promise<boolean>;
  /** What Azure has against it; undefined: it is going on. */
  start(deployment: string, template: ArmTemplate, parameters: Parameters): Promise<AzureError | undefined>;
  /** Accepted, Running, Succeeded, Failed, Canceled and others. */
  state(deployment: string): Promise<{ readonly state: string; readonly error?: AzureError }>;
  operations(deployment: string): Promise<readonly ResourceOperation[]>;
}

/** How a deployment ends. */
export const OVER: ReadonlySet<string> = new Set(['Succeeded', 'Failed', 'Canceled']);

export type Parameters = Readonly<Record<string, unknown>>;

const API_VERSION = '2025-04-01';
const CALL_TIMEOUT_MS = 120_000;
/** Azure validates and compares within minutes. */
const PREPARE_TIMEOUT_MS = 15 * 60_000;
const REGISTER_TIMEOUT_MS = 10 * 60_000;
const MAX_OPERATIONS = 5_000;

const vaultSchema = z.object({
  enableRbacAuthorization: z.boolean().nullish(),
  accessPolicies: z.array(z.looseObject({ objectId: z.string() })).nullish(),
});

export async function openManager(options: ManagerOptions): Promise<Manager> {
  const { credential, subscriptionId, resourceGroup: group, resourceManager, lookMs = 5_000, signal } = options;
  const clientOptions = {
    endpoint: resourceManager,
    apiVersion: API_VERSION,
    credentials: { scopes: [`${resourceManager.replace(/\/$/, '')}/.default`] },
  };
  const { ResourceManagementClient } = await import('@azure/arm-resources');
  const { DeploymentsClient } = await import('@azure/arm-resourcesdeployments');
  const resources = new ResourceManagementClient(credential, subscriptionId, clientOptions);
  const { deployments, deploymentOperations } = new DeploymentsClient(credential, subscriptionId, clientOptions);
  const where = `resource group ${group}`;
  const within = () => ({ abortSignal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
  const looking = (limitMs = CALL_TIMEOUT_MS) => {
    const timeout = AbortSignal.timeout(limitMs);
    return { abortSignal: signal ? AbortSignal.any([timeout, signal]) : timeout };
  };
  const preparing = () => ({ ...looking(PREPARE_TIMEOUT_MS), updateIntervalInMs: lookMs });
  const properties = (template: ArmTemplate, parameters: Parameters) => ({
    template,
    parameters: Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, { value }])),
    mode: 'Incremental' as const,
  });

  return {
    groupRegion: async () => {
      try {
        return (await resources.resourceGroups.get(group, looking())).location;
      } catch (error) {
        if (codeOf(error) === 'ResourceGroupNotFound') return undefined;
        throw explainAzure(where, error);
      }
    },
    makeGroup: async (location) => {
      await explained(where, () => resources.resourceGroups.createOrUpdate(group, { location }, within()));
    },
    registerProviders: async (namespaces) => {
      const atProvider = (namespace: string): string => `resource provider ${namespace}`;
      const isRegistered = (namespace: string): Promise<boolean> =>
        explained(atProvider(namespace), async () => {
          const { registrationState, registrationPolicy } = await resources.providers.get(namespace, looking());
          return registrationState === 'Registered' || registrationPolicy === 'RegistrationFree';
        });
      const missing: string[] = [];
      for (const namespace of namespaces) if (!(await isRegistered(namespace))) missing.push(namespace);
      for (const namespace of missing) {
        signal?.throwIfAborted();
        await resources.providers.register(namespace, within()).catch((error: unknown) => {
          const { problem } = explainAzure(atProvider(namespace), error);
          const remedy = `az provider register --namespace ${namespace}`;
          fail(atProvider(namespace), `it is not registered, and ${problem}`, remedy, error);
        });
      }
      const end = performance.now() + REGISTER_TIMEOUT_MS;
      for (const namespace of missing) {
        while (!(await isRegistered(namespace))) {
          if (performance.now() > end)
            fail(atProvider(namespace), 'it is not registered after ten minutes', 'run this again');
          await sleep(Math.min(lookMs, 2_000), undefined, signal ? { signal } : {});
        }
      }
      return missing;
    },
    vaultPolicies: async (vault) => {
      const id = `subscriptions/${subscriptionId}/resourceGroups/${group}/providers/Microsoft.KeyVault/vaults/${vault}`;
      let found: unknown;
      try {
        found = (await resources.resources.getById(id, '2022-07-01', looking())).properties;
      } catch (error) {
        if (statusOf(error) === 404) return [];
        throw explainAzure(`key vault ${vault}`, error);
      }
      const { enableRbacAuthorization, accessPolicies } = vaultSchema.parse(found);
      if (enableRbacAuthorization)
        fail(
          `key vault ${vault}`,
          'it exists with roles (RBAC) and not with access policies, which provision sets',
          'give another --demo_base_name, or az keyvault update --enable-rbac-authorization false',
        );
      return accessPolicies ?? [];
    },
    validate: async (deployment, template, parameters) => {
      try {
        const body = { properties: properties(template, parameters) };
        const validating = deployments.beginValidateAndWait(group, deployment, body, preparing());
        // The client looks at the signal only when it asks, and pauses for as long as Azure says.
        return (await (signal ? orAborted(validating, signal) : validating)).error;
      } catch (error) {
        return refusal(error) ?? raise(where, error);
      }
    },
    whatIf: async (deployment, template, parameters) => {
      const body = {
        properties: {
          ...properties(template, parameters),
          whatIfSettings: { resultFormat: 'FullResourcePayloads' as const },
        },
      };
      const { changes = [], error } = await explained(where, () =>
        deployments.beginWhatIfAndWait(group, deployment, body, preparing()),
      );
      if (error) fail(where, `Azure cannot tell: ${error.code}: ${error.message}`, 'mend it, then run this again');
      return changes.map(({ changeType, resourceId = '', delta = [] }) => ({
        change: changeType,
        id: resourceId,
        properties: delta.filter((each) => each.propertyChangeType !== 'NoEffect').map(({ path }) => path),
      }));
    },
    isActive: async (deployment) => {
      try {
        const { properties: found } = await deployments.get(group, deployment, looking());
        return !OVER.has(found?.provisioningState ?? '');
      } catch (error) {
        if (statusOf(error) === 404) return false;
        throw explainAzure(`deployment ${deployment}`, error);
      }
    },
    start: async (deployment, template, parameters) => {
      try {
        const body = { properties: properties(template, parameters) };
        await deployments.createOrUpdate(group, deployment, body, within()).submitted();
        return undefined;
      } catch (error) {
        return refusal(error) ?? raise(`deployment ${deployment}`, error);
      }
    },
    state: async (deployment) => {
      const { properties: found } = await explained(`deployment ${deployment}`, () =>
        deployments.get(group, deployment, looking()),
      );
      return { state: found?.provisioningState ?? 'Accepted', ...(found?.error ? { error: found.error } : {}) };
    },
    operations: (deployment) =>
      explained(`deployment ${deployment}`, async () => {
        const found: ResourceOperation[] = [];
        for await (const { properties: operation } of deploymentOperations.list(group, deployment, looking())) {
          const { targetResource: target, provisioningState, statusMessage } = operation ?? {};
          if (!target?.id) continue;
          found.push({
            id: target.id,
            type: target.resourceType ?? '',
            state: provisioningState ?? '',
            ...(statusMessage?.error ? { error: statusMessage.error } : {}),
          });
          if (found.length >= MAX_OPERATIONS) break;
        }
        return found;
      }),
  };
}

/** The error in Azure's answer; where the client did not keep it, what it made of it. */
function answerIn(error: unknown): AzureError | undefined {
  const { details, code, message } = (typeof error === 'object' && error !== null ? error : {}) as {
    details?: { error?: AzureError };
    code?: string;
    message?: string;
  };
  return details?.error ?? (code === undefined ? undefined : { code, message });
}

const codeOf = (error: unknown): string | undefined => answerIn(error)?.code;

/** What Azure has against a template; other failures are none of it. */
const refusal = (error: unknown): AzureError | undefined =>
  error instanceof FedradError || ![400, 403, 409].includes(statusOf(error) ?? 0) ? undefined : answerIn(error);

const raise = (where: string, error: unknown): never => {
  throw explainAzure(where, error);
};
