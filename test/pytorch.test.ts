/** @file A federation in which one hospital trains in PyTorch, from the command line; and what is said where PyTorch is missing. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { torchHere, withoutTorch } from '../src/components/pytorch/testing.ts';
import { type Cli, openCli, pneumoniaConfig, uploadConfig } from './cli.ts';

/** Two hospitals with images, for all tests. */
async function hospitals(context: TestContext): Promise<Cli> {
  const cli = await openCli(context);
  await cli.ok('provision');
  await cli.write('upload.yaml', uploadConfig('phantom:200', '', 2).replace('phantom_size: 48', 'phantom_size: 64'));
  await cli.ok('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--wait');
  return cli;
}

const config = (training = ''): string => pneumoniaConfig(training, 2);

/** A config in which silo0 trains in PyTorch. */
const mixed = (text: string, more = ''): string =>
  text.replace('datastore: datastore_silo0\n', `datastore: datastore_silo0\n      trainer: pytorch\n${more}`);

interface Iteration {
  readonly test: { readonly auroc: number; readonly logLoss: number };
}

async function sameFigures(cli: Cli): Promise<void> {
  const ours = config('  recipe: recommended\n').replace('epochs: 2', 'epochs: 20');
  const figures: Iteration[][] = [];
  for (const text of [ours, mixed(ours)]) {
    await cli.write('config.yaml', text);
    const { id } = JSON.parse(await cli.ok('submit', 'pneumonia', '--config', 'config.yaml', '--wait', '--json'));
    const report = JSON.parse(await cli.ok('run', 'report', id, '--json'));
    figures.push(report.evidence.iterations);
    if (text === ours) continue;
    await cli.ok('run', 'report', id, '--output', 'report.html');
    const html = readFileSync(join(cli.folder, 'report.html'), 'utf8');
    assert.match(html, /Trainer of silo0.*PyTorch, 1 process/s);
    assert.ok(html.includes(`PyTorch ${torchHere!.torch} on `), 'the version is among the facts of the run');
  }
  // Dropout leaves out other activations, so the two are as far apart as two seeds of one trainer are.
  const [without, having] = figures.map((iterations) => iterations.at(-1)!.test);
  assert.ok(Math.abs(having!.auroc - without!.auroc) < 0.05, `AUROC ${having!.auroc} against ${without!.auroc}`);
  assert.ok(Math.abs(having!.logLoss - without!.logLoss) < 0.25, `loss ${having!.logLoss} against ${without!.logLoss}`);
  for (const { auroc } of [without!, having!]) assert.ok(auroc > 0.9, `they must have learnt: ${auroc}`);
}

/** Processes of this machine whose command line has this text. */
const processesWith = (text: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });

async function canceled(cli: Cli): Promise<void> {
  const processes = Math.min(2, availableParallelism());
  const more = `      process_count_per_instance: ${processes}\n`;
  await cli.write('config.yaml', mixed(config().replace('epochs: 2', 'epochs: 1000'), more));
  const { id } = JSON.parse(await cli.ok('submit', 'pneumonia', '--config', 'config.yaml', '--json'));
  const log = join(cli.home, 'runs', id, 'logs', 'iteration_1_silo0_training.log');
  const said = (): string => {
    try {
      return readFileSync(log, 'utf8');
    } catch {
      return '';
    }
  };
  for (let waited = 0; !/epoch 1\/1000/.test(said()); waited += 200) {
    assert.ok(waited < 120_000, `training never started: ${said()}`);
    await sleep(200);
  }
  assert.match(said(), new RegExp(`pytorch .*"processes": ${processes}`));
  assert.ok(processesWith(cli.home).length > processes);
  await cli.ok('run', 'cancel', id);
  for (let waited = 0; processesWith(cli.home).length > 0; waited += 200) {
    assert.ok(waited < 60_000, `left: ${processesWith(cli.home)}`);
    await sleep(200);
  }
}

async function told(context: TestContext, cli: Cli): Promise<void> {
  const before = process.env['FEDRAD_PYTHON'];
  context.after(() => {
    if (before === undefined) delete process.env['FEDRAD_PYTHON'];
    else process.env['FEDRAD_PYTHON'] = before;
  });
  const python = await cli.write(
    'python3',
    '#!/bin/sh\necho "ModuleNotFoundError: No module named torch" >&2\nexit 1\n',
  );
  await chmod(python, 0o755);
  process.env['FEDRAD_PYTHON'] = python;
  await cli.write('config.yaml', mixed(config()));
  const submit = ['submit', 'pneumonia', '--config', 'config.yaml', '--wait'];
  const refusal = await cli.fails(...submit);
  assert.ok(refusal.startsWith('fedrad: config.yaml: federated_learning.silos[0].trainer: '), refusal);
  assert.match(refusal, /does not run .*No module named torch.*pip install torch.*FEDRAD_PYTHON/);
  // Builds and checks without it: the machine that trains may be another.
  assert.match(await cli.ok(...submit, '--offline'), /train-in-silo-pytorch/);

  await cli.write(
    'python3',
    `#!/bin/sh\necho '{"python": "${python}", "torch": "2.4.0", "gpus": ["A100", "A100"], "distributed": true, "own": [], "packages": [], "added": []}'\n`,
  );
  await cli.write('config.yaml', mixed(config(), '      process_count_per_instance: 4\n'));
  assert.match(
    await cli.fails(...submit),
    /silos\[0\]\.process_count_per_instance: 4 processes, but this machine has 2 GPUs \(at most 2\)/,
  );
  await cli.write('config.yaml', mixed(config()).replace('trainer: pytorch', 'trainer: tensorflow'));
  assert.match(await cli.fails(...submit), /silos\[0\]\.trainer: .*"fedrad"\|"pytorch"/);
  const runs = JSON.parse(await cli.ok('run', 'list', '--json')) as { pipeline: string }[];
  assert.deepEqual(
    runs.map(({ pipeline }) => pipeline),
    ['upload-data'],
    'nothing was submitted',
  );
}

test('hospitals with and without PyTorch', async (context) => {
  const cli = await hospitals(context);
  await context.test(
    'a machine without PyTorch, or without what is asked for, is told before the run starts',
    (context) => told(context, cli),
  );
  await context.test(
    'by the recommended recipe, one that trains in PyTorch and one that does not get the figures of two that do not',
    { skip: withoutTorch },
    () => sameFigures(cli),
  );
  await context.test(
    'a run is canceled with its processes of Python',
    { skip: withoutTorch || (process.platform === 'linux' ? false : 'looks into /proc') },
    () => canceled(cli),
  );
});
