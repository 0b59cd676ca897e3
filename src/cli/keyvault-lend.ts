/**
 * @file `fedrad keyvault lend`: runs a program and gives it secrets as a step gets them, as one line of JSON on standard input, which stays open
 * until the program ends: `fedrad-step --attached` ends itself when this process is gone. No secret is in an argument, in the environment
 * or in a file. In a job of Azure ML the vault is read as the compute's identity.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { fail } from '../base/index.ts';
import { homeOf } from './context.ts';
import { openNamedVault, targetOption, type VaultTarget } from './keyvault-open.ts';

interface LendOptions {
  readonly vaultName: string;
  readonly secret: readonly string[];
  readonly target?: VaultTarget;
}

const stepProgram = join(import.meta.dirname, '..', '..', 'bin', 'fedrad-step.js');
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function addLendCommand(group: Command): void {
  group
    .command('lend')
    .description(
      'run a program, and give it secrets over its standard input; what it says and its exit code are passed on',
    )
    .requiredOption('--vault-name <vault>', 'name or URL of the key vault')
    .requiredOption(
      '--secret <name>',
      'name of a secret; again for each more',
      (name: string, names: readonly string[] | undefined) => [...(names ?? []), name],
    )
    .addOption(targetOption())
    .argument('<program...>', 'the program and its arguments, after --')
    .addHelpText(
      'after',
      `
The program's standard input is one line, {"<name>":"<value>"}, and ends when this command ends.

Example:
  fedrad keyvault lend --vault-name kv-fldemo --secret kaggleusername --secret kagglekey -- fedrad-step upload-data … --attached`,
    )
    .action(async (program: readonly string[], options: LendOptions, command: Command) => {
      const vault = await openNamedVault(homeOf(command), options.vaultName, options.target);
      const secrets: Record<string, string> = {};
      for (const name of options.secret) secrets[name] = (await vault.getSecret(name)).reveal();
      process.exitCode = await runWith(program, secrets);
    });
}

/** The program's exit code; 128 and the signal's number where a signal ended it, as a shell says it. */
async function runWith([file = '', ...args]: readonly string[], secrets: Record<string, string>): Promise<number> {
  // Of this installation, whatever the path says.
  const child =
    file === 'fedrad-step'
      ? spawn(process.execPath, [stepProgram, ...args], { stdio: ['pipe', 'inherit', 'inherit'] })
      : spawn(file, args, { stdio: ['pipe', 'inherit', 'inherit'] });
  const passOn = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of SIGNALS) process.on(signal, passOn);
  try {
    // It may end before it has read this; its exit code tells what happened.
    child.stdin.on('error', () => {});
    child.stdin.write(`${JSON.stringify(secrets)}\n`);
    return await ended(child, file);
  } finally {
    for (const signal of SIGNALS) process.off(signal, passOn);
  }
}

async function ended(child: ChildProcess, file: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<[code: number | null, by: NodeJS.Signals | null]>();
  child.once('error', reject).once('exit', (code, by) => resolve([code, by]));
  const [code, by] = await promise.catch((cause: unknown) =>
    fail('keyvault lend', `cannot run ${JSON.stringify(file)}`, 'give a program after --', cause),
  );
  return code ?? 128 + (by === null ? 0 : constants.signals[by]);
}
