/** @file Runs a program of the system to its end and gives what it printed. For the test suite's own use: `ip`, `mount`, `fallocate`. */
import { spawnSync } from 'node:child_process';

const TIMEOUT_MS = 20_000;

/** Standard output of the program. @throws Error with what it said when it fails */
export function runTool(file: string, args: readonly string[], input = ''): string {
  const { status, error, stdout, stderr } = spawnSync(file, args, { input, timeout: TIMEOUT_MS, encoding: 'utf8' });
  if (error) throw new Error(`${file} ${args.join(' ')}: ${error.message}`);
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: exit code ${status}\n${stderr}`);
  return stdout;
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
