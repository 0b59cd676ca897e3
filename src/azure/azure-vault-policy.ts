/**
 * @file Who may do what with the secrets of a key vault on Azure: its access policies, through the resource manager
 * (Microsoft.KeyVault/vaults 2026-02-01, by Microsoft's own client). As `az keyvault set-policy`: one identity's permissions on secrets are
 * replaced; those it has on keys, certificates and storage stay, and so does everybody else's policy. A vault with roles (RBAC) has no
 * policies; it is recognised, and left as it is.
 */
import type { AccessPolicyEntry, Vault } from '@azure/arm-keyvault';
import type { TokenCredential } from '@azure/identity';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { didYouMean } from '../workspace/index.ts';
import { assignRole, READER, WRITER } from './azure-vault-errors.ts';
import { explainAzure } from './errors.ts';

/** What Azure permits with secrets, in the order of its description. */
export const AZURE_SECRET_PERMISSIONS: readonly string[] = 'get list set delete recover backup restore purge all'.split(
  ' ',
);

export interface AzurePolicyOptions {
  readonly credential: TokenCredential;
  /** Base URL of the resource manager. */
  readonly resourceManager: string;
  readonly subscriptionId: string;
  /** Where it is not given, the vault is looked for in the whole subscription. */
  readonly resourceGroup?: string;
  readonly vault: string;
  readonly objectId: string;
  /** None takes them away. */
  readonly secretPermissions: readonly string[];
}

export interface AzurePolicy {
  readonly objectId: string;
  readonly secretPermissions: readonly string[];
}

const CALL_TIMEOUT_MS = 120_000;

/** Replaces what an identity may do with secrets. @throws FedradError where there is no such vault, or it has roles */
export async function setAzurePolicy(options: AzurePolicyOptions): Promise<AzurePolicy> {
  const { credential, subscriptionId, resourceManager, vault: name } = options;
  const where = `key vault "${name}"`;
  const objectId = z.guid().safeParse(options.objectId).success
    ? options.objectId.toLowerCase()
    : fail(where, `expected an object id (a UUID), got ${JSON.stringify(options.objectId)}`, WHO_AM_I);
  if (!z.guid().safeParse(subscriptionId).success)
    fail(where, `expected the id of a subscription, got ${JSON.stringify(subscriptionId)}`, 'az account list');
  const permissions = checked(options.secretPermissions, where);
  const endpoint = resourceManager.replace(/\/$/, '');
  const { KeyVaultManagementClient } = await import('@azure/arm-keyvault');
  const { vaults } = new KeyVaultManagementClient(credential, subscriptionId, {
    endpoint,
    credentials: { scopes: [`${endpoint}/.default`] },
  });
  const within = () => ({ abortSignal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
  try {
    const group = options.resourceGroup ?? (await groupOf(vaults.listBySubscription(within()), name, where));
    const { properties, id } = await vaults.get(group, name, within());
    if (properties.enableRbacAuthorization) {
      const role = permissions.every((each) => each === 'get' || each === 'list') ? READER : WRITER;
      fail(where, 'it goes by roles (RBAC), not by access policies', assignRole(role, objectId, id ?? '<its id>'));
    }
    const before = properties.accessPolicies?.find(
      (each) => each.objectId.toLowerCase() === objectId && !each.applicationId,
    );
    const after: AccessPolicyEntry = {
      tenantId: before?.tenantId ?? properties.tenantId,
      objectId: before?.objectId ?? objectId,
      permissions: { ...before?.permissions, secrets: permissions },
    };
    const nothing = Object.values(after.permissions).every((each) => (each?.length ?? 0) === 0);
    if (nothing && !before) return { objectId, secretPermissions: [] };
    // "remove" takes away the permissions that it names: all that there are.
    const [kind, entry] = !before ? ['add', after] : nothing ? ['remove', before] : ['replace', after];
    const body = { properties: { accessPolicies: [entry as AccessPolicyEntry] } };
    await vaults.updateAccessPolicy(group, name, kind as 'add' | 'remove' | 'replace', body, within());
    return { objectId, secretPermissions: permissions };
  } catch (error) {
    throw explainAzure(where, error);
  }
}

const WHO_AM_I = 'fedrad account show --query id --target azure';

function checked(given: readonly string[], where: string): string[] {
  const wanted = given.map((each) => each.toLowerCase());
  const known = AZURE_SECRET_PERMISSIONS;
  const unknown = wanted.find((each) => !known.includes(each));
  if (unknown !== undefined)
    fail(where, `no secret permission ${JSON.stringify(unknown)}`, `use some of ${known.join(', ')}`);
  return known.filter((each) => wanted.includes(each));
}

/** The resource group of the vault, out of the subscription's. */
async function groupOf(vaults: AsyncIterable<Vault>, name: string, where: string): Promise<string> {
  const names: string[] = [];
  for await (const each of vaults) {
    const found = each.name ?? '';
    names.push(found);
    if (found.toLowerCase() !== name.toLowerCase()) continue;
    const group = /\/resourceGroups\/([^/]+)\//i.exec(each.id ?? '')?.[1];
    if (group !== undefined) return group;
  }
  return fail(
    where,
    `the subscription has no such vault${didYouMean(name, names)}`,
    'another --subscription; az keyvault list',
  );
}
