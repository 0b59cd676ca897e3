/** @file What nobody will ask for any more goes when the agent starts, so that a run whose end was never told fills no disk. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../workspace/index.ts';
import type { Journal } from './journal.ts';
import type { agentPaths } from './paths.ts';

/** A run that nothing was heard of for so long is over. */
const RUN_AGE_MS = 60 * 24 * 60 * 60 * 1000;
/** Logs are kept of so many runs. */
const LOGS_KEPT = 100;

/** Removes outboxes, models and journal entries of runs long gone, and the oldest logs. */
export async function removeOld(paths: ReturnType<typeof agentPaths>, journal: Journal, now: Date): Promise<void> {
  const old = journal.runs().filter(({ at }) => now.getTime() - Date.parse(at) > RUN_AGE_MS);
  for (const { run } of old) journal.forgetRun(run);
  const known = new Set(journal.runs().map(({ run }) => run));
  for (const folder of [paths.outboxes, paths.cache]) {
    for (const run of await namesIn(folder)) {
      if (!known.has(run)) await rm(join(folder, run), { recursive: true, force: true });
    }
  }
  const logs = await Promise.all(
    (await namesIn(paths.logs)).map(async (run) => ({ run, at: (await stat(join(paths.logs, run))).mtimeMs })),
  );
  for (const { run } of logs.sort((a, b) => b.at - a.at).slice(LOGS_KEPT)) {
    await rm(join(paths.logs, run), { recursive: true, force: true });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
