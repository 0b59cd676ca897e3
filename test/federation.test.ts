/** @file A small federation from the command line to the model: the same bits whatever happens on the way. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { detectSandbox } from '../src/backends/index.ts';
import { sha256 } from '../src/base/index.ts';
import { type Cli, openCli, pneumoniaConfig, uploadConfig } from './cli.ts';

async function hospitals(context: TestContext): Promise<Cli> {
  const cli = await openCli(context);
  await cli.ok('provision');
  await cli.write('upload.yaml', uploadConfig('phantom:80'));
  await cli.ok('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', '--wait');
  return cli;
}

/** Everything that is not the Azure ML example's training. */
const OPTIONS = `  lr: 0.003
  optimizer: {kind: adamw, weight_decay: 0.05}
  lr_schedule: {kind: cosine, warmup_epochs: 0.5}
  class_weights: balanced
  threshold: youden
`;

interface ShownRun {
  readonly id: string;
  readonly status: string;
  readonly reason?: string;
  readonly steps: Record<
    string,
    { attempts: { status: string; threads: number }[]; outputs: Record<string, { path: string; sha256: string }> }
  >;
}
const show = async (cli: Cli, id: string): Promise<ShownRun> => JSON.parse(await cli.ok('run', 'show', id, '--json'));

/** SHA-256 of the last aggregated model of a run. */
async function modelHash(cli: Cli, run: ShownRun): Promise<string> {
  const { path } = run.steps['iteration_2_aggregation']!.outputs['aggregated_output']!;
  const [, datastore, below] = /datastores\/([^/]+)\/paths\/(.+)/.exec(path)!;
  return sha256(
    await readFile(join(cli.home, 'workspaces/aml-fldemo/datastores', datastore!, below!, 'model.safetensors')),
  );
}

const submit = (cli: Cli, ...options: string[]) =>
  cli
    .ok('submit', 'pneumonia', '--config', 'config.yaml', '--json', ...options)
    .then((text) => JSON.parse(text) as { id: string; status: string });

/** Gives the SHA-256 of the model of three silos. */
async function sameOnAnyCores(cli: Cli): Promise<string> {
  let model = '';
  // One silo has both cores to itself; three share them.
  for (const [silos, training] of [
    [1, ''],
    [3, OPTIONS],
  ] as const) {
    await cli.write('config.yaml', pneumoniaConfig(training, silos));
    const hashes: string[] = [];
    const threads: number[] = [];
    for (const cores of ['1', '2']) {
      const { id, status } = await submit(cli, '--wait', '--cores', cores);
      assert.equal(status, 'COMPLETED');
      const run = await show(cli, id);
      hashes.push(await modelHash(cli, run));
      threads.push(run.steps['iteration_1_silo0_training']!.attempts[0]!.threads);
    }
    assert.equal(hashes[0], hashes[1]);
    model = hashes[1]!;
    if (silos === 1 && detectSandbox() === 'bubblewrap') assert.deepEqual(threads, [1, 2]);
  }

  await cli.ok('run', 'report', '--output', 'report.html');
  const report = await readFile(join(cli.folder, 'report.html'), 'utf8');
  assert.match(report, /synthetic/i);
  assert.match(report, /<svg/);
  assert.doesNotMatch(report, /(?:src|href)="https?:/);

  const run = JSON.parse(await cli.ok('run', 'list', '--json')).at(-1) as { id: string };
  const images = join(cli.home, 'workspaces/aml-fldemo/datastores/datastore_silo0/federated_learning/pneumonia/test');
  const figures = JSON.parse(await cli.ok('model', 'evaluate', '--model', run.id, '--data', images, '--json'));
  for (const name of ['n', 'auroc', 'accuracy', 'sensitivity', 'specificity', 'threshold'])
    assert.equal(typeof figures[name], 'number', name);
  assert.equal(figures.auroc_ci95.length, 2);

  const evidence = JSON.parse(await cli.ok('run', 'report', run.id, '--json')).evidence;
  const own = evidence.iterations.at(-1).silos[0].test;
  const last = JSON.parse(
    await cli.ok('model', 'evaluate', '--model', run.id, '--which', 'last', '--data', images, '--json'),
  );
  assert.deepEqual(
    [last.n, last.auroc, last.threshold, last.confusion],
    [own.n, own.auroc, own.threshold, own.confusion],
    'a folder and the step agree, at the threshold that was chosen from counts and that the model file names',
  );
  assert.match(evidence.thresholdBy, /Youden/);
  assert.match(report, /AdamW.*cosine.*balanced/s);
  return model;
}

async function stoppedEarly(cli: Cli): Promise<void> {
  // A rate that moves no weight: the second iteration is no better than the first, which the third one's aggregation sees.
  const training = '  lr: 1e-12\n  early_stopping: {patience: 1}\n';
  const config = pneumoniaConfig(training, 1).replace('num_of_iterations: 2', 'num_of_iterations: 5');
  await cli.write('config.yaml', config);
  const { id } = await submit(cli, '--wait');
  const { steps } = await show(cli, id);
  const [third, ...rest] = [3, 4, 5].map(
    (k) => steps[`iteration_${k}_aggregation`]!.outputs['aggregated_output']!.sha256,
  );
  assert.deepEqual(rest, [third, third]);
  const { evidence } = JSON.parse(await cli.ok('run', 'report', id, '--json'));
  assert.deepEqual(
    [evidence.stoppedAfter, evidence.best, evidence.last, evidence.iterations.length],
    [3, 'iteration_1', 'iteration_3', 3],
  );
  const logs = await cli.ok('run', 'logs', id);
  assert.match(logs, /training ended after iteration 3/);
}

/** `expected`: the model that the same config gives when nothing happens on the way. */
async function killedAndResumed(cli: Cli, expected: string): Promise<void> {
  await cli.write('config.yaml', pneumoniaConfig(OPTIONS));
  const killed = cli.start(['submit', 'pneumonia', '--config', 'config.yaml', '--wait']);
  const ended = new Promise((resolve) => killed.once('exit', resolve));
  let told = '';
  for (const stream of [killed.stdout!, killed.stderr!])
    stream.on('data', (chunk) => {
      told += chunk;
      // In the middle: the first aggregation is done, the second is not.
      if (told.includes('finished  iteration_1_aggregation')) killed.kill('SIGKILL');
    });
  assert.equal(await ended, null, told);
  const id = /Submitted run (\S+)/.exec(told)![1]!;
  const before = await show(cli, id);
  assert.equal(before.status, 'INTERRUPTED');
  const done = Object.entries(before.steps).filter(([, { outputs }]) => Object.keys(outputs).length > 0);
  assert.ok(done.length >= 8);

  await cli.ok('run', 'resume', id);
  const after = await show(cli, id);
  assert.equal(after.status, 'COMPLETED');
  for (const [step, { attempts }] of done) assert.equal(after.steps[step]!.attempts.length, attempts.length, step);
  assert.equal(await modelHash(cli, after), expected);
  assert.match(await cli.fails('run', 'resume', id), /it is completed, nothing is left to do/);
}

async function canceledAndTakenUp(cli: Cli): Promise<void> {
  await cli.write('config.yaml', pneumoniaConfig('').replace('epochs: 2', 'epochs: 500'));
  const { id } = await submit(cli);
  for (let waited = 0; !(await show(cli, id)).steps['iteration_1_silo0_training']; waited += 100) {
    assert.ok(waited < 60_000, 'training never started');
    await sleep(100);
  }
  assert.match(await cli.fails('run', 'resume', id), /it is already running/);
  await cli.ok('run', 'cancel', id);
  const canceled = await show(cli, id);
  assert.equal(canceled.status, 'CANCELED');
  assert.match(await cli.fails('run', 'cancel', id), /it has ended already: CANCELED/);

  const again = cli.start(['run', 'resume', id]);
  const ended = new Promise<number | null>((resolve) => again.once('exit', resolve));
  for (let waited = 0; (await show(cli, id)).status !== 'RUNNING'; waited += 100) {
    assert.ok(waited < 60_000, 'the run was not taken up again');
    await sleep(100);
  }
  again.kill('SIGTERM');
  assert.equal(await ended, 130);
  assert.equal((await show(cli, id)).status, 'INTERRUPTED');
}

test('a small federation', async (context) => {
  const cli = await hospitals(context);
  let model = '';
  await context.test('two runs, on one core and on two, give the same model; the last one has its report', async () => {
    model = await sameOnAnyCores(cli);
  });
  await context.test('a run killed with -9 and resumed redoes only unfinished steps and ends with the same bits', () =>
    killedAndResumed(cli, model),
  );
  await context.test('early stopping: training that brings nothing more ends, and its last model is handed on', () =>
    stoppedEarly(cli),
  );
  await context.test(
    'a run is submitted, cannot be resumed while it runs, is canceled with its children, and taken up again',
    () => canceledAndTakenUp(cli),
  );
});
