/** @file Runs of the command line in MLflow: on the stand-in for its server, and as an mlruns folder, with the figures of `fedrad run show`. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type MlflowRun, startMlflow } from './azure/mlflow.ts';
import { readMlruns } from './azure/mlruns.ts';
import { type Cli, openCli, pneumoniaConfig, uploadConfig } from './cli.ts';

const UPLOAD = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml'];
const PNEUMONIA = ['submit', 'pneumonia', '--config', 'config.yaml'];

async function workspace(context: TestContext, environment: Record<string, string>): Promise<Cli> {
  const cli = await openCli(context, environment);
  await cli.write('upload.yaml', uploadConfig('phantom:24'));
  await cli.write(
    'config.yaml',
    pneumoniaConfig()
      .replace('epochs: 2', 'epochs: 1')
      .replace('image_size: 32', 'image_size: 16')
      .replace('channels: [8, 8, 16]', 'channels: [8]'),
  );
  await cli.ok('provision');
  return cli;
}

interface Shown {
  readonly id: string;
  readonly experiment: string;
  readonly steps: Readonly<
    Record<string, { readonly metrics: readonly { name: string; value: number; iteration?: number; at: string }[] }>
  >;
}
const shown = async (cli: Cli): Promise<Shown> => JSON.parse(await cli.ok('run', 'show', '--json')) as Shown;

/** Every step's run has the figures that `run show` has, to the last bit; the parent has those of all. */
function assertAsShown({ id, steps }: Shown, all: readonly MlflowRun[]): void {
  const runs = all.filter((run) => run.tags.get('fedrad.run') === id);
  assert.equal(runs.length, Object.keys(steps).length + 1);
  const parent = runs.find(({ tags }) => !tags.has('mlflow.parentRunId'))!;
  assert.deepEqual([parent.name, parent.status], [id, 'FINISHED']);
  const points = (metrics: readonly { key: string; value: number; step: number; timestamp: number }[]) =>
    metrics.map(({ key, value, step, timestamp }) => `${key} ${value} ${step} ${timestamp}`).sort();
  const expected = (metrics: Shown['steps'][string]['metrics']) =>
    metrics.map(({ name, value, iteration = 0, at }) => `${name} ${value} ${iteration} ${Date.parse(at)}`).sort();
  for (const [step, { metrics }] of Object.entries(steps)) {
    const [run, ...others] = runs.filter(({ tags }) => tags.get('fedrad.step') === step);
    assert.equal(others.length, 0, step);
    assert.deepEqual([run!.name, run!.status, run!.tags.get('mlflow.parentRunId')], [step, 'FINISHED', parent.id]);
    assert.deepEqual(points(run!.metrics), expected(metrics), step);
  }
  const every = Object.values(steps).flatMap(({ metrics }) => metrics);
  assert.ok(every.length > 0);
  assert.deepEqual(points(parent.metrics), expected(every));
}

test('MLFLOW_TRACKING_URI and --mlruns: what run show says, on a server and in a folder', async (context) => {
  const mlflow = await startMlflow(context, 'Bearer abc.def');
  const cli = await workspace(context, { MLFLOW_TRACKING_URI: mlflow.url, MLFLOW_TRACKING_TOKEN: 'abc.def' });
  // A busy server is waited for.
  mlflow.faults.push(
    { match: /runs\/create/, fault: 429, retryAfter: '1', times: 1 },
    { match: /log-batch/, fault: 'drop-after', times: 1 },
  );
  const mlruns = join(cli.folder, 'my runs', 'mlruns');
  await cli.ok(...UPLOAD, '--wait', '--mlruns', 'my runs/mlruns');
  assertAsShown(await shown(cli), readMlruns(mlruns).runs);
  assert.deepEqual(mlflow.calls, []);

  const { code, stderr } = await cli.run([...PNEUMONIA, '--wait']);
  assert.equal(code, 0, stderr);
  assert.match(stderr, new RegExp(`^logged to MLflow: ${mlflow.url}$`, 'm'));
  assert.doesNotMatch(stderr, /tracking:|abc\.def/);
  const run = await shown(cli);
  assertAsShown(run, mlflow.runs());
  assert.deepEqual(
    [...mlflow.state.experiments.values()].map(({ name }) => name),
    ['Default', run.experiment],
  );
  const training = mlflow.runs().find(({ name }) => name === 'iteration_1_silo0_training')!;
  assert.equal(training.params.get('epochs'), '1');
  assert.equal(training.tags.get('fedrad.compute'), 'silo0-01');
  assert.equal(mlflow.runs()[0]!.params.get('batch_size'), '8');

  // Afterwards, to another place, beside the run that is there.
  assert.deepEqual(JSON.parse(await cli.ok('run', 'track', '--mlruns', mlruns, '--json')), {
    id: run.id,
    tracked: mlruns,
  });
  assertAsShown(run, readMlruns(mlruns).runs);
  const before = readMlruns(mlruns).runs.length;
  await cli.ok('run', 'track', '--mlruns', mlruns);
  assert.equal(readMlruns(mlruns).runs.length, before);
});

test('a server that is away takes nothing from the run: one note, and the figures later', async (context) => {
  const mlflow = await startMlflow(context);
  mlflow.faults.push({ match: /./, fault: 403, times: 1_000_000 });
  const cli = await workspace(context, { MLFLOW_TRACKING_URI: mlflow.url });
  const { code, stderr } = await cli.run([...UPLOAD, '--wait']);
  assert.equal(code, 0, stderr);
  assert.equal(stderr.match(/tracking/g)?.length, 1, stderr);
  const run = await shown(cli);
  assert.match(
    stderr,
    new RegExp(`note: tracking: MLflow at .*; the run is not affected.* by fedrad run track ${run.id}`),
  );
  assert.match(await cli.fails('run', 'track'), /does not let this user in/);
  mlflow.faults.length = 0;
  assert.match(await cli.ok('run', 'track'), new RegExp(`Run ${run.id} is logged: ${mlflow.url}`));
  assertAsShown(run, mlflow.runs());
});

test('a run that nobody waits for is logged by the process that runs it', async (context) => {
  const mlflow = await startMlflow(context);
  const cli = await workspace(context, { MLFLOW_TRACKING_URI: mlflow.url });
  await cli.ok(...UPLOAD);
  await cli.ok('run', 'logs', '--follow');
  // It lets the run go when it has logged all of it.
  for (let tries = 0; mlflow.runs()[0]?.status !== 'FINISHED' && tries < 300; tries++)
    await new Promise((resolve) => setTimeout(resolve, 100));
  assertAsShown(await shown(cli), mlflow.runs());
});

test('what cannot be a place is said before anything is submitted', async (context) => {
  const cli = await workspace(context, {});
  await mkdir(join(cli.folder, 'photos'));
  await writeFile(join(cli.folder, 'photos', 'a.jpeg'), '');
  assert.match(await cli.fails(...UPLOAD, '--mlruns', 'photos'), /photos: it holds other things/);
  assert.match(
    await cli.fails(...UPLOAD, '--mlruns', 'http://x'),
    /--mlruns: expected a folder.*set MLFLOW_TRACKING_URI/,
  );
  assert.match(await cli.ok('run', 'list'), /no runs yet/);
  await cli.ok(...UPLOAD, '--wait');
  assert.match(await cli.fails('run', 'track'), /nothing says where to log it \(set MLFLOW_TRACKING_URI/);
  assert.ok(!existsSync(join(cli.folder, 'mlruns')));
});
