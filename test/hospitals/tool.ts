/** @file Runs a program of the system to its end and gives what it printed. For the test suite's own use: `ip`, `mount`, `fallocate`. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';

const TIMEOUT_MS = 20_000;

/** Standard output of the program. @throws Error with what it said when it fails */
export function runTool(file: string, args: readonly string[], input = ''): string {
  const { status, error, stdout, stderr } = spawnSync(file, args, { input, timeout: TIMEOUT_MS, encoding: 'utf8' });
  if (error) throw new Error(`${file} ${args.join(' ')}: ${error.message}`);
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: exit code ${status}\n${stderr}`);
  return stdout;
}

/** The same without blocking, for a command of fedrad: however long it takes. @throws Error with what it said unless it ends with 0 */
export async function runToEnd(
  file: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
  let [out, problem] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    problem += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${args.join(' ')}: exit code ${code}\n${out.slice(-1000)}\n${problem.slice(-3000)}`);
  return out;
}

/** Whether the program runs here and succeeds. */
export const toolWorks = (file: string, ...args: string[]): boolean =>
  spawnSync(file, args, { timeout: TIMEOUT_MS, stdio: 'ignore' }).status === 0;

/** Undoes what a test began: a test's context, or a list of its own. */
export interface Cleanup {
  after(undo: () => Promise<void> | void): void;
}

/** A cleanup for programs that are no test: `undo` runs all in reverse order, each however the others end. */
export function openCleanup(): Cleanup & { undo(): Promise<void> } {
  const steps: (() => Promise<void> | void)[] = [];
  return {
    after: (undo) => void steps.push(undo),
    undo: async () => {
      const errors: unknown[] = [];
      for (let undo = steps.pop(); undo; undo = steps.pop()) {
        try {
          await undo();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw new AggregateError(errors, 'not everything was cleaned up');
    },
  };
}

/** What was made last goes first; the tests' own order is the other one. */
export function cleanupOf(t: TestContext): Cleanup {
  const cleanup = openCleanup();
  t.after(() => cleanup.undo());
  return cleanup;
}
