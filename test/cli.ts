/** @file Runs the real `fedrad` as a user would: a child process, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cleanup } from './hospitals/tool.ts';

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Cli {
  readonly folder: string;
  readonly home: string;
  /** Runs a command to its end. */
  run(args: readonly string[], input?: string): Promise<Result>;
  /** Runs a command that must succeed; gives its standard output. */
  ok(...args: string[]): Promise<string>;
  /** Runs a command that must fail with one line for the user; gives that line. */
  fails(...args: string[]): Promise<string>;
  /** Starts a command and leaves it running. */
  start(args: readonly string[]): ChildProcess;
  /** Writes a file into the folder. */
  write(name: string, text: string): Promise<string>;
}

/** Of the package that scripts/test.ts has built; by hand, of the checkout. */
const packageFolder = process.env['FEDRAD_TEST_PACKAGE'] ?? join(import.meta.dirname, '..');
export const program = join(packageFolder, 'bin', 'fedrad.js');

/** A folder with a home of its own, removed after the test. */
export async function openCli(context: Cleanup, environment: Record<string, string> = {}): Promise<Cli> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad test '));
  const home = join(folder, 'home');
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const start = (args: readonly string[]): ChildProcess =>
    spawn(process.execPath, [program, ...args], {
      cwd: folder,
      env: { ...process.env, FEDRAD_HOME: home, ...environment },
    });
  const run = (args: readonly string[], input = ''): Promise<Result> =>
    new Promise((resolve, reject) => {
      const child = start(args);
      let [stdout, stderr] = ['', ''];
      child.stdout!.on('data', (chunk) => {
        stdout += chunk;
      });
      child.stderr!.on('data', (chunk) => {
        stderr += chunk;
      });
      child.once('error', reject);
      child.once('close', (code) => resolve({ code, stdout, stderr }));
      child.stdin!.end(input);
    });
  return {
    folder,
    home,
    run,
    start,
    ok: async (...args) => {
      const { code, stdout, stderr } = await run(args);
      if (code !== 0) throw new Error(`fedrad ${args.join(' ')}: exit code ${code}\n${stdout}\n${stderr}`);
      return stdout;
    },
    fails: async (...args) => {
      const { code, stdout, stderr } = await run(args);
      const lines = stderr.split('\n').filter((line) => line !== '');
      if (
        code === 0 ||
        lines.length !== 1 ||
        !lines[0]!.startsWith('fedrad: ') ||
        lines[0]!.startsWith('fedrad: a defect')
      ) {
        throw new Error(
          `fedrad ${args.join(' ')}: expected one line of error, exit code ${code}\n${stdout}\n${stderr}`,
        );
      }
      return lines[0]!;
    },
    write: async (name, text) => {
      const path = join(folder, name);
      await writeFile(path, text);
      return path;
    },
  };
}

/** A config of the upload pipeline for this source. */
export const uploadConfig = (source: string, more = '', silos = 3): string => `
federated_learning:
  silos:
${Array.from({ length: silos }, (_, i) => `    - compute: silo${i}-01\n      datastore: datastore_silo${i}\n`).join('')}
data:
  source: ${JSON.stringify(source)}
  phantom_size: 48
${more}`;

/** A config of the pneumonia pipeline that trains a tiny network in seconds. */
export const pneumoniaConfig = (training = '', silos = 3): string => `
federated_learning:
  orchestrator:
    compute: orchestrator-01
    datastore: datastore_orchestrator
  silos:
${Array.from(
  { length: silos },
  (_, i) => `    - name: silo${i}
      computes: [silo${i}-01]
      datastore: datastore_silo${i}
      silo_data:
        type: uri_folder
        mode: download
        path: azureml://datastores/datastore_silo${i}/paths/federated_learning/pneumonia
`,
).join('')}
training_parameters:
  num_of_iterations: 2
  epochs: 2
  batch_size: 8
  image_size: 32
  channels: [8, 8, 16]
  hidden: 32
${training}`;
