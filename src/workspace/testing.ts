/** @file What the tests of this room share: a home that goes away with its test, and processes of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { walk } from './content-hash.ts';

/** A new folder, with a space and letters beyond ASCII in its path because homes have them; gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad tést 医-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A path for a home that does not exist yet. */
export const temporaryHome = async (t: TestContext): Promise<string> => join(await temporaryFolder(t), 'home');

/**
 * Starts a process that runs `body`, an async function's body with this room's exports as `room` and the arguments as
 * `args`. What it prints arrives on stdout.
 */
export const startProcess = (body: string, ...args: readonly string[]) =>
  spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const room = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'index.ts')))});
       const args = process.argv.slice(1);
       ${body}`,
      ...args,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );

/** Runs such a process to its end and returns what it printed. */
export async function runProcess(body: string, ...args: readonly string[]): Promise<string> {
  const child = startProcess(body, ...args);
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the process ended with ${code}: ${errors}`);
  return output;
}

/** Paths of the files under a folder whose bytes contain the text. */
export async function filesHolding(folder: string, text: string): Promise<string[]> {
  const { files } = await walk(folder);
  const holding: string[] = [];
  for (const file of files) if ((await readFile(join(folder, file))).includes(text)) holding.push(file);
  return holding;
}
