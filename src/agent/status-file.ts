/** @file What the agent last said of itself, for `fedrad agent status` beside it or after it. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { codeOf } from '../workspace/index.ts';

export const agentStatusSchema = z.strictObject({
  workspace: z.string(),
  compute: z.string(),
  datastores: z.array(z.string()),
  version: z.string(),
  pid: z.int().positive(),
  /** ISO 8601. */
  startedAt: z.iso.datetime(),
  at: z.iso.datetime(),
  state: z.enum(['ready', 'draining', 'stopped']),
  connected: z.boolean(),
  cores: z.int().positive(),
  concurrency: z.int().positive(),
  sandbox: z.string(),
  kernels: z.string(),
  imports: z.array(z.string()),
  running: z.array(
    z.strictObject({
      run: z.string(),
      step: z.string(),
      attempt: z.int().positive(),
      since: z.iso.datetime(),
      phase: z.enum(['running', 'sending']),
    }),
  ),
});

export type AgentStatus = z.infer<typeof agentStatusSchema>;

/** Whole or not at all, but not flushed: after a power cut nobody runs. */
export async function writeStatus(path: string, status: AgentStatus): Promise<void> {
  const unfinished = `${path}.part`;
  await writeFile(unfinished, `${JSON.stringify(status, null, 2)}\n`, { mode: 0o600 });
  await rename(unfinished, path);
}

/** The last status; undefined where no agent of this version ever ran. */
export async function readStatus(path: string): Promise<AgentStatus | undefined> {
  try {
    return agentStatusSchema.safeParse(JSON.parse(await readFile(path, 'utf8'))).data;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
