/** @file `fedrad keyvault`: access policies and secrets, with the options of `az keyvault`, of vaults in this home and on Azure. */
import type { Command } from 'commander';
import { fail } from '../base/index.ts';
import { SECRET_PERMISSIONS, type SecretPermission } from '../workspace/index.ts';
import { homeOf, printJson, printRows } from './context.ts';
import { addLendCommand } from './keyvault-lend.ts';
import { openNamedVault, placeOf, targetOption, type VaultTarget } from './keyvault-open.ts';
import { readSecret } from './prompt.ts';

interface PolicyOptions {
  readonly name: string;
  readonly objectId: string;
  readonly secretPermissions: readonly string[];
  readonly target?: VaultTarget;
  readonly subscriptionId?: string;
  readonly resourceGroup?: string;
  readonly json?: boolean;
}

interface SecretOptions {
  readonly vaultName: string;
  readonly name: string;
  readonly value?: string;
  readonly target?: VaultTarget;
  readonly json?: boolean;
}

export function addKeyVaultCommands(root: Command): void {
  const group = root
    .command('keyvault')
    .description('key vault: who may do what, and secrets')
    .addHelpText(
      'after',
      `
A vault is this home's where it has one of that name, else https://<name>.vault.azure.net, with the sign-in of az login;
--target says it otherwise.

Example:
  fedrad keyvault secret list --vault-name kv-fldemo`,
    );
  group
    .command('set-policy')
    .description("set what a user or compute may do with secrets (replaces that identity's policy)")
    .requiredOption('-n, --name <vault>', 'name or URL of the key vault')
    .requiredOption('--object-id <id>', 'object id of the user (fedrad account show --query id) or compute')
    .requiredOption(
      '--secret-permissions <permission...>',
      `some of ${SECRET_PERMISSIONS.join(', ')} (on Azure also recover, backup, restore, purge, all); none`,
    )
    .addOption(targetOption())
    .option(
      '--subscription, --subscription-id <id>',
      'subscription of a vault on Azure (default: AZURE_SUBSCRIPTION_ID)',
    )
    .option('-g, --resource-group <name>', 'resource group of a vault on Azure (default: it is looked for)')
    .option('--json', 'print the policy as JSON')
    .addHelpText(
      'after',
      `
Example:
  fedrad keyvault set-policy -n kv-fldemo --secret-permissions list set delete --object-id $(fedrad account show --query id)
  fedrad keyvault set-policy -n kv-fldemo --secret-permissions list set delete --subscription <id> \\
    --object-id $(fedrad account show --query id --target azure)`,
    )
    .action(async (options: PolicyOptions, command: Command) => {
      const { vault, objectId, secretPermissions } = await setPolicy(homeOf(command), options);
      if (options.json) printJson({ objectId, secretPermissions });
      else console.log(`${vault}: ${objectId} may now ${secretPermissions.join(', ') || 'do nothing'}`);
    });
  addLendCommand(group);

  const secret = group
    .command('secret')
    .description('secrets of a key vault')
    .addHelpText('after', '\nExample:\n  fedrad keyvault secret list --vault-name kv-fldemo');
  const secretCommand = (name: string, description: string, example: string): Command =>
    secret
      .command(name)
      .description(description)
      .requiredOption('--vault-name <vault>', 'name or URL of the key vault')
      .addOption(targetOption())
      .option('--json', 'print as JSON')
      .addHelpText('after', `\nExample:\n  ${example}`);
  const opened = ({ vaultName, target }: SecretOptions, command: Command) =>
    openNamedVault(homeOf(command), vaultName, target);
  secretCommand(
    'set',
    'set a secret; without --value it is asked for, or read from standard input',
    'fedrad keyvault secret set --vault-name kv-fldemo --name kagglekey < key.txt',
  )
    .requiredOption('--name <name>', 'name of the secret')
    .option('--value <value>', 'its value; other users of this machine may see it while the command runs')
    .action(async (options: SecretOptions, command: Command) => {
      const vault = await opened(options, command);
      const set = await vault.setSecret(
        options.name,
        options.value ?? (await readSecret(options.name, 'keyvault secret set')),
      );
      if (options.json) printJson(set);
      else console.log(`${vault.name}: secret ${set.name} is set`);
    });
  secretCommand(
    'list',
    'list names and times, never values',
    'fedrad keyvault secret list --vault-name kv-fldemo',
  ).action(async (options: SecretOptions, command: Command) => {
    const vault = await opened(options, command);
    const secrets = await vault.listSecrets();
    printRows(secrets, { NAME: ({ name }) => name, UPDATED: ({ updatedAt }) => updatedAt }, options.json, 'no secrets');
  });
  secretCommand(
    'show',
    'print the value of a secret; needs the permission get',
    'fedrad keyvault secret show --vault-name kv-fldemo --name kaggleusername',
  )
    .requiredOption('--name <name>', 'name of the secret')
    .action(async (options: SecretOptions, command: Command) => {
      const vault = await opened(options, command);
      const value = (await vault.getSecret(options.name)).reveal();
      if (options.json) printJson({ name: options.name, value });
      else console.log(value);
    });
  secretCommand('delete', 'delete a secret', 'fedrad keyvault secret delete --vault-name kv-fldemo --name kagglekey')
    .requiredOption('--name <name>', 'name of the secret')
    .action(async (options: SecretOptions, command: Command) => {
      const vault = await opened(options, command);
      await vault.deleteSecret(options.name);
      if (options.json) printJson({ name: options.name, deleted: true });
      else console.log(`${vault.name}: secret ${options.name} is deleted`);
    });
}

async function setPolicy(home: string, options: PolicyOptions) {
  const permissions = options.secretPermissions.join() === 'none' ? [] : options.secretPermissions;
  // az prints the id in quotes; a shell may keep them.
  const objectId = options.objectId.replaceAll('"', '');
  const place = await placeOf(home, options.name, options.target);
  if (place.target === 'local') {
    const policy = await place.vault.setPolicy(objectId, permissions as readonly SecretPermission[]);
    return { vault: place.vault.name, ...policy };
  }
  const azure = await import('../azure/index.ts');
  const { resourceGroup, subscriptionId = process.env['AZURE_SUBSCRIPTION_ID'] } = options;
  const policy = await azure.setAzurePolicy({
    credential: azure.azureCredential(),
    resourceManager: azure.azureEndpoints().resourceManager,
    subscriptionId: subscriptionId || noSubscription(place.name, place.notHere),
    ...(resourceGroup === undefined ? {} : { resourceGroup }),
    vault: place.name,
    objectId,
    secretPermissions: permissions,
  });
  return { vault: place.name, ...policy };
}

const noSubscription = (vault: string, notHere: string): never =>
  fail(
    `key vault "${vault}"`,
    `to set a policy on Azure its subscription must be known${notHere}`,
    '--subscription <id>, or AZURE_SUBSCRIPTION_ID; az account list',
  );
