/** @file `fedrad account show`: who is signed in. */
import type { Command } from 'commander';
import { fail } from '../base/index.ts';
import { signedInUser } from '../workspace/index.ts';
import { homeOf, printJson } from './context.ts';

export function addAccountCommands(root: Command): void {
  root
    .command('account')
    .description('the signed-in user')
    .addHelpText('after', '\nExample:\n  fedrad account show')
    .command('show')
    .description('show the signed-in user; its id is the object id that key vault policies name')
    .option('--query <field>', 'print one field only: id or displayName')
    .option('--json', 'print as JSON (the default)')
    .addHelpText('after', '\nExample:\n  fedrad account show --query id')
    .action(async ({ query }: { query?: string }, command: Command) => {
      const user = await signedInUser(homeOf(command));
      if (query === undefined) return printJson(user);
      if (query !== 'id' && query !== 'displayName')
        return fail('--query', `no field "${query}"`, 'use id or displayName');
      return printJson(user[query]);
    });
}
