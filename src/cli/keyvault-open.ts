/**
 * @file Which key vault a name means: this home's, or one on Azure. Only the latter loads Azure's code; on Azure whoever is signed in there
 * asks, in this home its user.
 */
import { Option } from 'commander';
import { fail } from '../base/index.ts';
import {
  didYouMean,
  type KeyVault,
  type OpenVault,
  openVault,
  signedInUser,
  vaultName,
  vaultNames,
} from '../workspace/index.ts';

export type VaultTarget = 'local' | 'azure';

export type VaultPlace =
  | { readonly target: 'local'; readonly vault: KeyVault }
  | { readonly target: 'azure'; readonly name: string; readonly notHere: string };

/** An option for each command that opens a vault. */
export const targetOption = (): Option =>
  new Option(
    '--target <where>',
    'where the vault is (default: in this home where it has one of that name, else on Azure)',
  ).choices(['local', 'azure']);

/** Names of vaults on Azure (https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules). */
const AZURE_NAME = /^[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]$/i;

/** @throws FedradError where the vault is to be in this home and is not, or the name cannot be one on Azure */
export async function placeOf(home: string, nameOrUrl: string, target?: VaultTarget): Promise<VaultPlace> {
  const name = vaultName(nameOrUrl);
  const here = await vaultNames(home);
  if (target === 'local' || (target === undefined && here.includes(name)))
    return { target: 'local', vault: await openVault(home, nameOrUrl) };
  const notHere = target === 'azure' ? '' : `, and this home has none of that name${didYouMean(name, here)}`;
  if (AZURE_NAME.test(name)) return { target: 'azure', name, notHere };
  return fail(
    'key vault',
    `expected a name (3 to 24 letters, digits, hyphens) or https://<name>.vault.azure.net, got ${JSON.stringify(nameOrUrl)}${notHere}`,
    'fedrad workspace show for those here, az keyvault list for those on Azure',
  );
}

/** Opens it to read and write secrets. */
export async function openNamedVault(home: string, nameOrUrl: string, target?: VaultTarget): Promise<OpenVault> {
  const place = await placeOf(home, nameOrUrl, target);
  if (place.target === 'local') return asUser(place.vault, (await signedInUser(home)).id);
  const azure = await import('../azure/index.ts');
  const { name, notHere } = place;
  const address = azure.azureEndpoints().vault(name);
  return azure.openAzureVault({ name, address, credential: azure.azureCredential(), notHere });
}

const asUser = (vault: KeyVault, user: string): OpenVault => ({
  name: vault.name,
  setSecret: (name, value) => vault.setSecret(name, value, user),
  getSecret: (name) => vault.getSecret(name, user),
  listSecrets: () => vault.listSecrets(user),
  deleteSecret: (name) => vault.deleteSecret(name, user),
});
