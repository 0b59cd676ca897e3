/**
 * @file A step where nothing stands between its words and a log that others read, as on Azure ML: it runs as a child of this process, and each
 * line passes here on its way out. So what Python, native code and a crash of Node say loses its paths too, not only what fedrad says.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { withoutPaths } from '../base/index.ts';
import { eachLine } from './each-line.ts';
import { mayLeave, messageIn } from './messages.ts';

/** On a step's command line: what it prints loses paths and file names, as it does when it leaves a hospital. */
export const WITHOUT_PATHS = '--without-paths';
const ATTACHED = '--attached';

/** Runs the step that the arguments describe; resolves with the exit code. */
export async function runWithoutPaths(args: readonly string[]): Promise<number> {
  const own = args.filter((word) => word !== WITHOUT_PATHS && word !== ATTACHED);
  const child = spawn(process.execPath, [process.argv[1]!, ...own, ATTACHED], { stdio: 'pipe' });
  // It may end before it has read this; its exit code tells what happened.
  child.stdin.on('error', () => {});
  // The pipe ends with this process, whatever that dies of, and with the pipe the step.
  if (args.includes(ATTACHED)) process.stdin.pipe(child.stdin);
  else child.stdin.write('{}\n');
  const closed = once(child, 'close') as Promise<[code: number | null, by: NodeJS.Signals | null]>;
  await Promise.all([passOn(child.stdout, process.stdout), passOn(child.stderr, process.stderr)]);
  const [code, by] = await closed;
  if (by !== null) console.error(`the step was killed by ${by}`);
  // As a shell says it.
  return code ?? 128 + (by === null ? 0 : constants.signals[by]);
}

const passOn = (from: Readable, to: Writable): Promise<void> =>
  eachLine(from, (line) => void to.write(`${leaving(line)}\n`));

function leaving(line: string): string {
  const message = messageIn(line);
  return message ? JSON.stringify(mayLeave(message)) : withoutPaths(line);
}
