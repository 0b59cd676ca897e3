/**
 * @file The example's two commands with one config.yaml, on this machine and against the stand-in for Azure ML with Azurite: the same
 * model, bit for bit. Then what a user does with the run, and what goes wrong, in one line each. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sha256 } from '../../src/base/index.ts';
import { type Cli, openCli, pneumoniaConfig, uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { containerOf } from './machine-learning-executor.ts';
import { ON_AZURE, SUBSCRIPTION, startSandbox } from './sandbox.ts';

const TINY = pneumoniaConfig()
  .replace('epochs: 2', 'epochs: 1')
  .replace('image_size: 32', 'image_size: 16')
  .replace('channels: [8, 8, 16]', 'channels: [8]');

async function withConfigs(context: TestContext, environment: Record<string, string> = {}): Promise<Cli> {
  const cli = await openCli(context, environment);
  await cli.write('upload.yaml', uploadConfig('phantom:24'));
  await cli.write('config.yaml', TINY);
  return cli;
}

const commands = (workspace: readonly string[]): string[][] => [
  ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', ...workspace, '--wait'],
  ['submit', 'pneumonia', '--config', 'config.yaml', ...workspace, '--wait'],
];

interface Report {
  readonly evidence: { readonly best: string; readonly files: { readonly best: string; readonly last: string } };
}

test('the same commands and config give the same model here and on the stand-in', {
  skip: withoutAzurite,
}, async (context) => {
  const here = await withConfigs(context);
  await here.ok('provision');
  for (const command of commands(['--workspace_name', 'aml-fldemo'])) await here.ok(...command);
  const { evidence: expected } = JSON.parse(await here.ok('run', 'report', '--json')) as Report;

  const { environment, standIn, workspace, machineLearning } = await startSandbox(context);
  const cli = await withConfigs(context, environment);
  // Azure is busy, and fails, at times: each is tried again.
  standIn.faults.push(
    { match: /^GET .*computes\/silo1-01$/, status: 429, times: 1 },
    { match: /^PUT .*\/jobs\//, status: 503, times: 1 },
    { match: /\/children$/, status: 500, times: 1 },
  );
  for (const command of commands(ON_AZURE)) {
    const printed = await cli.ok(...command);
    assert.match(printed, /Studio: https:\/\/ml\.azure\.com\/runs\//);
    assert.match(printed, /completed/);
  }
  assert.deepEqual(
    standIn.faults.map(({ times }) => times),
    [0, 0, 0],
  );

  const { evidence } = JSON.parse(await cli.ok('run', 'report', '--json')) as Report;
  assert.deepEqual(evidence.files, expected.files);
  assert.match(await cli.ok('run', 'list'), /upload-data +COMPLETED[\s\S]*pneumonia +COMPLETED/);
  const shown = JSON.parse(await cli.ok('run', 'show', '--json')) as {
    id: string;
    steps: Record<string, { metrics: { name: string }[] }>;
  };
  assert.ok(
    shown.steps['iteration_1_silo0_training']!.metrics.some(({ name }) => name === 'iteration_1/silo0/Train Loss'),
  );
  assert.match(await cli.ok('run', 'logs', '--step', 'silo0_preparation'), /s of CPU time, \d+ MiB/);
  assert.match(await cli.ok('model', 'card', '--model', shown.id), /federated/i);
  assert.match(await readFile(join(cli.home, 'runs', shown.id, 'report.html'), 'utf8'), /computes of Azure ML/);
  // Nothing of a silo's own storage came here: no file here has the content of one there.
  const there = new Set<string>();
  for (const name of ['silo0', 'silo1', 'silo2']) {
    const container = containerOf(machineLearning, workspace.datastores.get(`datastore_${name}`)!);
    for await (const blob of container.listBlobsFlat())
      there.add(sha256(await container.getBlobClient(blob.name).downloadToBuffer()));
  }
  assert.ok(there.size > 3 * 24, `${there.size} files`);
  for (const entry of await readdir(cli.home, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) assert.ok(!there.has(sha256(await readFile(path))), path);
  }
  // Each kind of step is one component.
  assert.equal(workspace.components.size, 7);
  assert.match(await cli.fails('run', 'resume', shown.id), /completed/);
});

test("a step that fails fails the run, with the step's own words", { skip: withoutAzurite }, async (context) => {
  const { environment } = await startSandbox(context);
  const cli = await withConfigs(context, environment);
  // Nothing was uploaded.
  const { code, stderr } = await cli.run(commands(ON_AZURE)[1]!);
  assert.equal(code, 1);
  assert.match(stderr, /FAILED: silo0_preparation: nothing lies at federated_learning\/pneumonia/);
  assert.match(await cli.ok('run', 'list'), /FAILED/);
});

test('a run that nobody waits for is seen, and cancelled', { skip: withoutAzurite }, async (context) => {
  const { environment, workspace } = await startSandbox(context);
  const cli = await withConfigs(context, environment);
  // More images than are made before the cancelling.
  await cli.write('upload.yaml', uploadConfig('phantom:20000'));
  const submitted = JSON.parse(await cli.ok(...commands(ON_AZURE)[0]!.slice(0, -1), '--json')) as { id: string };
  assert.match(await cli.ok('run', 'list'), new RegExp(submitted.id));
  const job = workspace.jobs.get(submitted.id)!;
  for (let look = 0; look < 600 && job.children[0]?.status !== 'Running'; look++) await sleep(100);
  // Azure ML takes no job up again.
  assert.doesNotMatch(await cli.ok('run', 'cancel', submitted.id), /resume/);
  assert.equal(job.status, 'Canceled');
  assert.ok(job.children.every(({ status }) => status === 'Canceled'));
  assert.match(await cli.ok('run', 'list'), /CANCELED/);
  assert.match(await cli.fails('run', 'cancel', submitted.id), /it has ended already/);
});

test('what goes wrong is said in one line, and nothing is left behind', { skip: withoutAzurite }, async (context) => {
  const { environment, workspace, standIn } = await startSandbox(context);
  const cli = await withConfigs(context, environment);
  const [upload, pneumonia] = commands(ON_AZURE) as [string[], string[]];
  const with_ = (from: string, to: string): string[] => pneumonia.map((word) => (word === from ? to : word));
  assert.match(await cli.fails(...with_('aml-fldemo', 'aml-other')), /workspace aml-other in rg-fldemo: .*not found/);
  assert.match(
    await cli.fails(...with_(SUBSCRIPTION, SUBSCRIPTION.replaceAll('4', '5'))),
    /Azure knows no such subscription \(az account list/,
  );
  const unnamed = pneumonia.filter((word) => word !== '--subscription_id' && word !== SUBSCRIPTION);
  assert.match(
    await cli.fails(...unnamed),
    /--subscription_id: workspace "aml-fldemo" is none of this home, and on Azure/,
  );
  await cli.write('config.yaml', TINY.replace('silo1-01', 'silo7-01'));
  assert.match(
    await cli.fails(...pneumonia),
    /config\.yaml: federated_learning\.silos\[1\]\.computes\[0\]: workspace aml-fldemo has no compute "silo7-01"/,
  );
  await cli.write('config.yaml', TINY.replaceAll('datastore_silo2', 'datastore_silo9'));
  assert.match(await cli.fails(...pneumonia), /silos\[2\]\.datastore: .* no datastore "datastore_silo9"/);
  await cli.write('config.yaml', `${TINY}  baselines: [pooled]\n`);
  for (const more of [[], ['--identity', 'user']])
    assert.match(
      await cli.fails(...pneumonia, ...more),
      /config\.yaml: training_parameters\.baselines: pooled needs the data of all hospitals in one place/,
    );
  await cli.write('upload.yaml', uploadConfig('phantom:24').replace('datastore_silo1', 'datastore_silo0'));
  assert.match(
    await cli.fails(...upload),
    /silos\[1\]\.datastore: "datastore_silo0" is also the datastore of silos\[0\]/,
  );
  await cli.write('config.yaml', TINY);
  const expired = await withConfigs(context, { ...environment, AZURE_CLIENT_SECRET: 'old' });
  assert.match(await expired.fails(...pneumonia), /the sign-in to Azure is missing or has expired \(az login/);
  workspace.environments.clear();
  assert.match(await cli.fails(...pneumonia), /no environment fedrad-cpu:.*az ml environment create/);
  assert.equal(workspace.components.size + workspace.jobs.size, 0);
  assert.deepEqual(
    standIn.calls.filter((call) => !call.startsWith('GET ')),
    [],
  );
  assert.match(await cli.ok('run', 'list'), /no runs yet/);
});
