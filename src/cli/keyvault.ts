/** @file `fedrad keyvault`: access policies and secrets, with the options of `az keyvault`. */
import type { Command } from 'commander';
import { openVault, SECRET_PERMISSIONS, type SecretPermission, signedInUser } from '../workspace/index.ts';
import { homeOf, printJson, printRows } from './context.ts';
import { readSecret } from './prompt.ts';

interface SecretOptions {
  readonly vaultName: string;
  readonly name: string;
  readonly value?: string;
  readonly json?: boolean;
}

export function addKeyVaultCommands(root: Command): void {
  const group = root
    .command('keyvault')
    .description('key vault: who may do what, and secrets')
    .addHelpText('after', '\nExample:\n  fedrad keyvault secret list --vault-name kv-fldemo');
  group
    .command('set-policy')
    .description("set what a user or compute may do with secrets (replaces that identity's policy)")
    .requiredOption('-n, --name <vault>', 'name or URL of the key vault')
    .requiredOption('--object-id <id>', 'object id of the user (fedrad account show --query id) or compute')
    .requiredOption('--secret-permissions <permission...>', `some of ${SECRET_PERMISSIONS.join(', ')}; none`)
    .option('--json', 'print the policy as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  fedrad keyvault set-policy -n kv-fldemo --secret-permissions list set delete --object-id $(fedrad account show --query id)',
    )
    .action(
      async (
        options: { name: string; objectId: string; secretPermissions: string[]; json?: boolean },
        command: Command,
      ) => {
        const vault = await openVault(homeOf(command), options.name);
        const permissions = options.secretPermissions.join() === 'none' ? [] : options.secretPermissions;
        // az prints the id in quotes; a shell may keep them.
        const policy = await vault.setPolicy(options.objectId.replaceAll('"', ''), permissions as SecretPermission[]);
        if (options.json) printJson(policy);
        else
          console.log(
            `${vault.name}: ${policy.objectId} may now ${policy.secretPermissions.join(', ') || 'do nothing'}`,
          );
      },
    );

  const secret = group
    .command('secret')
    .description('secrets of a key vault')
    .addHelpText('after', '\nExample:\n  fedrad keyvault secret list --vault-name kv-fldemo');
  const secretCommand = (name: string, description: string, example: string): Command =>
    secret
      .command(name)
      .description(description)
      .requiredOption('--vault-name <vault>', 'name or URL of the key vault')
      .option('--json', 'print as JSON')
      .addHelpText('after', `\nExample:\n  ${example}`);
  const opened = async (options: SecretOptions, command: Command) => {
    const home = homeOf(command);
    return { vault: await openVault(home, options.vaultName), user: (await signedInUser(home)).id };
  };
  secretCommand(
    'set',
    'set a secret; without --value it is asked for, or read from standard input',
    'fedrad keyvault secret set --vault-name kv-fldemo --name kagglekey < key.txt',
  )
    .requiredOption('--name <name>', 'name of the secret')
    .option('--value <value>', 'its value; other users of this machine may see it while the command runs')
    .action(async (options: SecretOptions, command: Command) => {
      const { vault, user } = await opened(options, command);
      const set = await vault.setSecret(
        options.name,
        options.value ?? (await readSecret(options.name, 'keyvault secret set')),
        user,
      );
      if (options.json) printJson(set);
      else console.log(`${vault.name}: secret ${set.name} is set`);
    });
  secretCommand(
    'list',
    'list names and times, never values',
    'fedrad keyvault secret list --vault-name kv-fldemo',
  ).action(async (options: SecretOptions, command: Command) => {
    const { vault, user } = await opened(options, command);
    const secrets = await vault.listSecrets(user);
    printRows(secrets, { NAME: ({ name }) => name, UPDATED: ({ updatedAt }) => updatedAt }, options.json, 'no secrets');
  });
  secretCommand(
    'show',
    'print the value of a secret; needs the permission get',
    'fedrad keyvault secret show --vault-name kv-fldemo --name kaggleusername',
  )
    .requiredOption('--name <name>', 'name of the secret')
    .action(async (options: SecretOptions, command: Command) => {
      const { vault, user } = await opened(options, command);
      const value = (await vault.getSecret(options.name, user)).reveal();
      if (options.json) printJson({ name: options.name, value });
      else console.log(value);
    });
  secretCommand('delete', 'delete a secret', 'fedrad keyvault secret delete --vault-name kv-fldemo --name kagglekey')
    .requiredOption('--name <name>', 'name of the secret')
    .action(async (options: SecretOptions, command: Command) => {
      const { vault, user } = await opened(options, command);
      await vault.deleteSecret(options.name, user);
      if (options.json) printJson({ name: options.name, deleted: true });
      else console.log(`${vault.name}: secret ${options.name} is deleted`);
    });
}
