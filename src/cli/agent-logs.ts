/** @file `fedrad agent logs`: what the steps of a run printed here. For the hospital: whole, with file names. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { agentPaths } from '../agent/index.ts';
import { fail } from '../base/index.ts';
import { codeOf } from '../workspace/index.ts';
import { homeOf, printJson } from './context.ts';

export function addAgentLogsCommand(group: Command): void {
  group
    .command('logs <run> [step]')
    .description('print what the steps of a run said in this hospital')
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExample:\n  fedrad agent logs calm_lung_7f3k2q iteration_1_silo0_training')
    .action(async (run: string, step: string | undefined, { json }: { json?: boolean }, command: Command) => {
      const logs = await readLogs(homeOf(command), run, step);
      if (json) return printJson(logs);
      for (const [name, text] of Object.entries(logs)) console.log(`== ${name}\n${text.trimEnd()}`);
    });
}

async function readLogs(home: string, run: string, step: string | undefined): Promise<Record<string, string>> {
  for (const name of [run, step ?? 'x']) {
    if (!/^[A-Za-z0-9_-]{1,120}$/.test(name)) fail('fedrad agent logs', `"${name}" is no run or step`);
  }
  const folder = agentPaths(home).runLogs(run);
  const names = (
    await readdir(folder).catch((error: unknown) =>
      codeOf(error) === 'ENOENT'
        ? fail(`run ${run}`, 'no step of it has run here', 'fedrad agent status')
        : Promise.reject(error),
    )
  ).filter((name) => step === undefined || name === `${step}.log`);
  if (names.length === 0) fail(`run ${run}`, `step "${step}" has not run here`, `fedrad agent logs ${run}`);
  const logs = await Promise.all(
    names.map(async (name) => {
      const [text, { mtimeMs }] = await Promise.all([readFile(join(folder, name), 'utf8'), stat(join(folder, name))]);
      return { step: name.replace(/\.log$/, ''), text, mtimeMs };
    }),
  );
  // In the order in which the steps ended.
  logs.sort((a, b) => a.mtimeMs - b.mtimeMs);
  return Object.fromEntries(logs.map(({ step, text }) => [step, text]));
}
