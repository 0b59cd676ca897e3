/** @file `fedrad agent secret`: the hospital's own secrets, such as its Kaggle key. They stay here. */
import type { Command } from 'commander';
import { openAgentVault } from '../agent/index.ts';
import { homeOf, printJson, printRows } from './context.ts';
import { readSecret } from './prompt.ts';

interface SecretOptions {
  readonly name: string;
  readonly json?: boolean;
}

export function addAgentSecretCommands(group: Command): void {
  const secrets = group
    .command('secret')
    .description("this hospital's own secrets; they never leave it")
    .addHelpText('after', '\nExample:\n  fedrad agent secret list');
  const secretCommand = (name: string, description: string, example: string): Command =>
    secrets
      .command(name)
      .description(description)
      .option('--json', 'print as JSON')
      .addHelpText('after', `\nExample:\n  ${example}`);
  secretCommand(
    'set',
    'set a secret; it is asked for, or read from standard input',
    'fedrad agent secret set --name kagglekey < key.txt',
  )
    .requiredOption('--name <name>', 'name of the secret')
    .action(async ({ name, json }: SecretOptions, command: Command) => {
      const vault = await openAgentVault(homeOf(command));
      const set = await vault.set(name, await readSecret(name, 'fedrad agent secret set'));
      if (json) printJson(set);
      else console.log(`secret ${set.name} is set`);
    });
  secretCommand('list', 'list names and times, never values', 'fedrad agent secret list').action(
    async ({ json }: SecretOptions, command: Command) => {
      const list = await (await openAgentVault(homeOf(command))).list();
      printRows(list, { NAME: ({ name }) => name, UPDATED: ({ updatedAt }) => updatedAt }, json, 'no secrets');
    },
  );
  secretCommand('delete', 'delete a secret', 'fedrad agent secret delete --name kagglekey')
    .requiredOption('--name <name>', 'name of the secret')
    .action(async ({ name, json }: SecretOptions, command: Command) => {
      await (await openAgentVault(homeOf(command))).delete(name);
      if (json) printJson({ name, deleted: true });
      else console.log(`secret ${name} is deleted`);
    });
}
