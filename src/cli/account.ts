/** @file `fedrad account show`: who is signed in, in this home or to Azure. */
import { type Command, Option } from 'commander';
import { fail } from '../base/index.ts';
import { signedInUser, type User } from '../workspace/index.ts';
import { homeOf, printJson } from './context.ts';
import type { VaultTarget } from './keyvault-open.ts';

export function addAccountCommands(root: Command): void {
  root
    .command('account')
    .description('the signed-in user')
    .addHelpText('after', '\nExample:\n  fedrad account show')
    .command('show')
    .description('show the signed-in user; its id is the object id that key vault policies name')
    .addOption(
      new Option('--target <where>', 'whose user: of this home, or of the sign-in to Azure (az login)')
        .choices(['local', 'azure'])
        .default('local'),
    )
    .option('--query <field>', 'print one field only: id or displayName')
    .addOption(
      new Option('-o, --output <form>', 'as JSON, or as a bare value for scripts')
        .choices(['json', 'tsv'])
        .default('json'),
    )
    .option('--json', 'print as JSON (the default)')
    .addHelpText(
      'after',
      '\nExample:\n  fedrad account show --query id\n  fedrad account show --query id --target azure --output tsv',
    )
    .action(
      async (
        { query, target, output }: { query?: string; target: VaultTarget; output: 'json' | 'tsv' },
        command: Command,
      ) => {
        if (query !== undefined && query !== 'id' && query !== 'displayName')
          return fail('--query', `no field "${query}"`, 'use id or displayName');
        const user = target === 'azure' ? await azureUser() : await signedInUser(homeOf(command));
        if (output === 'tsv') return console.log(query === undefined ? `${user.id}\t${user.displayName}` : user[query]);
        return printJson(query === undefined ? user : user[query]);
      },
    );
}

async function azureUser(): Promise<User> {
  const azure = await import('../azure/index.ts');
  return azure.azureAccount(azure.azureCredential(), azure.azureEndpoints().resourceManager);
}
