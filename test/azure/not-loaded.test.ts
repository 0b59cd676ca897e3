/**
 * @file Microsoft's packages are loaded only by what speaks to Azure: not by a run on this machine, not by a step wherever it runs, not by an
 * agent or an orchestrator. Seen in real processes, and, for those that nothing here starts or can watch, in what their code imports.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openCli, pneumoniaConfig, uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { ON_AZURE, startSandbox } from './sandbox.ts';

const source = join(import.meta.dirname, '..', '..', 'src');
const recorder = pathToFileURL(join(import.meta.dirname, 'record-azure.ts')).href;
const recording = (file: string): Record<string, string> => ({
  NODE_OPTIONS: `--import=${recorder}`,
  FEDRAD_TEST_LOADED: file,
});

interface Recorded {
  readonly started: string[];
  /** `<process>: @azure/…` */
  readonly loaded: string[];
}

async function recorded(file: string): Promise<Recorded> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  const started = lines.filter((line) => line.endsWith(': started'));
  return { started, loaded: lines.filter((line) => !started.includes(line)) };
}

const CONFIG = pneumoniaConfig('', 1)
  .replace('num_of_iterations: 2', 'num_of_iterations: 1')
  .replace('epochs: 2', 'epochs: 1')
  .replace('image_size: 32', 'image_size: 16')
  .replace('channels: [8, 8, 16]', 'channels: [8]');
const COMMANDS = [
  ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--wait'],
  ['submit', 'pneumonia', '--config', 'config.yaml', '--wait'],
];

test('a run on this machine, and the help, load nothing of Azure', async (context) => {
  const cli = await openCli(context);
  const file = join(cli.folder, 'loaded');
  const watched = await openCli(context, { ...recording(file), FEDRAD_HOME: cli.home });
  await watched.write('upload.yaml', uploadConfig('phantom:24', '', 1));
  await watched.write('config.yaml', CONFIG);
  const commands = [
    ['--help'],
    ['agent', '--help'],
    ['orchestrator', 'start', '--help'],
    ['provision'],
    ...COMMANDS,
    ['run', 'report'],
    ['run', 'list'],
  ];
  for (const command of commands) await watched.ok(...command);
  const { started, loaded } = await recorded(file);
  assert.equal(started.filter((line) => line.startsWith('fedrad.js')).length, commands.length);
  assert.deepEqual(loaded, []);
});

test('of a run on Azure ML the command line loads its packages, and no step does', {
  skip: withoutAzurite,
}, async (context) => {
  const { environment, machineLearning } = await startSandbox(context);
  const cli = await openCli(context);
  const [ofSteps, ofCli] = [join(cli.folder, 'steps'), join(cli.folder, 'cli')];
  Object.assign(machineLearning.tracking!.environment, recording(ofSteps));
  const watched = await openCli(context, { ...environment, ...recording(ofCli) });
  await watched.write('upload.yaml', uploadConfig('phantom:24', '', 1));
  await watched.write('config.yaml', CONFIG);
  for (const command of COMMANDS) await watched.ok(...command, ...ON_AZURE);
  const steps = await recorded(ofSteps);
  const components = new Set(steps.started.map((line) => /^fedrad-step\.js ([a-z-]+)/.exec(line)?.[1]));
  assert.deepEqual([...components].sort(), [
    'aggregate-model-weights',
    'collect-evidence',
    'evaluate-in-silo',
    'initial-model',
    'prepare-data',
    'train-in-silo',
    'upload-data',
  ]);
  assert.deepEqual(steps.loaded, []);
  const { loaded } = await recorded(ofCli);
  for (const name of ['@azure/identity', '@azure/arm-machinelearning', '@azure/storage-blob'])
    assert.ok(
      loaded.some((line) => line.endsWith(`: ${name}`)),
      `${name} was not seen`,
    );
});

/** Modules that a file imports at once, and those that it imports when it comes to it. */
function importsOf(path: string): { readonly static: string[]; readonly dynamic: string[] } {
  const text = readFileSync(join(source, path), 'utf8');
  const named = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, name]) => name!);
  return {
    static: named(/^(?:import|export)\s+(?!type\b)(?:[^;']*?\bfrom\s*)?'([^']+)'/gm),
    dynamic: named(/(?<!typeof )\bimport\(\s*'([^']+)'/g),
  };
}

/** Every module that is reached from a file of src/; `follow` decides about imports that wait. */
function reached(entry: string, follow: (path: string) => boolean): ReadonlySet<string> {
  const found = new Set([entry]);
  for (const path of found) {
    if (!path.endsWith('.ts')) continue;
    const imports = importsOf(path);
    const resolved = (name: string): string =>
      name.startsWith('.') ? relative(source, join(source, dirname(path), name)) : name;
    for (const name of imports.static) found.add(resolved(name));
    for (const name of imports.dynamic.map(resolved)) if (follow(name)) found.add(name);
  }
  return found;
}

const isAzure = (path: string): boolean => path.startsWith('@azure/') || /^azure[\\/]/.test(path);

test('the code of steps, agents and the orchestrator has no way to them, and the command line only where it waits', () => {
  for (const entry of ['cli/step-main.ts', 'agent/index.ts', 'backends/index.ts', 'messaging/index.ts']) {
    const all = reached(entry, () => true);
    assert.ok(all.size > 30, entry);
    assert.deepEqual([...all].filter(isAzure), [], entry);
  }
  const commandLine = reached('cli/main.ts', (path) => !isAzure(path));
  assert.ok(commandLine.has(join('agent', 'index.ts')) && commandLine.has(join('cli', 'submit-azure.ts')));
  assert.deepEqual([...commandLine].filter(isAzure), []);
  // The same look does see them.
  assert.ok(reached('cli/main.ts', () => true).has('@azure/storage-blob'));
});
