/**
 * @file A step on the stand-in for Azure ML logs its own metrics and parameters to the workspace's MLflow, found as Azure ML names it, and is
 * not disturbed when that fails. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCli, uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { ON_AZURE, startSandbox } from './sandbox.ts';

const UPLOAD = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', ...ON_AZURE, '--wait'];

test('the metrics of each step are in its own run of the workspace', { skip: withoutAzurite }, async (context) => {
  const { environment, machineLearning, standIn } = await startSandbox(context);
  const cli = await openCli(context, environment);
  await cli.write('upload.yaml', uploadConfig('phantom:24'));
  // The service is busy once.
  standIn.faults.push({ match: /log-batch/, status: 429, times: 1 });
  await cli.ok(...UPLOAD);
  const runs = [...machineLearning.tracking!.mlflow.runs.values()];
  const { steps } = JSON.parse(await cli.ok('run', 'show', '--json')) as {
    steps: Record<string, { metrics: { name: string; value: number }[] }>;
  };
  assert.equal(runs.length, 3);
  for (const [index, { metrics }] of Object.values(steps).entries()) {
    const run = runs.find(({ params }) => params.get('silo_index') === String(index))!;
    assert.deepEqual(
      run.metrics.map(({ key, value }) => [key, value]),
      metrics.map(({ name, value }) => [name, value]),
    );
    assert.ok(metrics.length > 0);
    assert.equal(run.status, 'FINISHED');
    assert.equal(run.params.get('silo_count'), '3');
  }
  assert.ok(!standIn.calls.some((call) => /runs\/(create|update)/.test(call)), 'the run is the job’s own');
});

test('without an entry to MLflow the steps run as ever, and their log says so once', {
  skip: withoutAzurite,
}, async (context) => {
  const { environment, standIn } = await startSandbox(context);
  const cli = await openCli(context, environment);
  await cli.write('upload.yaml', uploadConfig('phantom:24'));
  standIn.faults.push({ match: /mlflow/, status: 403, times: 1000 });
  await cli.ok(...UPLOAD);
  const log = await cli.ok('run', 'logs', '--step', 'silo_1_upload_data');
  assert.equal(log.match(/note: tracking: <path>: it does not let this user in.*the step goes on/g)?.length, 1, log);
  assert.match(log, /silo1\/Images Used = 24/);
});
