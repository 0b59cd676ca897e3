/** @file Starts a Python once, for what it says as JSON. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The first import of PyTorch on a slow disk takes a while. */
const TIMEOUT_MS = 120_000;

/** What it writes, undefined where that is no JSON; in no folder of the user's. Rejects as `execFile` does. */
export async function outputOf(python: string, args: readonly string[], env: Environment): Promise<unknown> {
  const { stdout } = await promisify(execFile)(python, ['-B', ...args], { env, timeout: TIMEOUT_MS, cwd: '/' });
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}

/** The last line of what a program said that failed. */
export function lastLine(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  const lines = `${message}\n${stderr ?? ''}`.split('\n').filter((line) => line.trim() !== '');
  return lines.at(-1)!.trim().slice(0, 200);
}
