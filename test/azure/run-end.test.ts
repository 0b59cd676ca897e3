/**
 * @file How a run on Azure ML ends in the history, against the stand-in, where something of it cannot be read, comes late or is lost on its
 * way: once, with Azure's word, and nothing that could be read later is lost. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cli, pneumoniaConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { containerOf } from './machine-learning-executor.ts';
import { ON_AZURE, openCliOnAzure, type Sandbox } from './sandbox.ts';

const TINY = pneumoniaConfig()
  .replace('num_of_iterations: 2', 'num_of_iterations: 1')
  .replace('epochs: 2', 'epochs: 1')
  .replace('image_size: 32', 'image_size: 16')
  .replace('channels: [8, 8, 16]', 'channels: [8]');
const UPLOAD = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', ...ON_AZURE];
const PNEUMONIA = ['submit', 'pneumonia', '--config', 'config.yaml', ...ON_AZURE];

interface Shown {
  readonly id: string;
  readonly status: string;
  readonly reason?: string;
  readonly steps: Record<
    string,
    { readonly metrics: readonly unknown[]; readonly attempts: readonly { status: string }[] }
  >;
}

const show = async (cli: Cli, id: string): Promise<Shown> => JSON.parse(await cli.ok('run', 'show', id, '--json'));

/** Waits for the job there, without a look from here. */
async function ended({ workspace }: Sandbox, id: string) {
  const job = workspace.jobs.get(id)!;
  for (let look = 0; look < 1200 && !['Completed', 'Failed', 'Canceled'].includes(job.status); look++) await sleep(100);
  return job;
}

test('a run is over when Azure says so; what cannot be read then is read later, and what is behind is waited for', {
  skip: withoutAzurite,
}, async (context) => {
  const { cli, ...sandbox } = await openCliOnAzure(context);
  await cli.write('config.yaml', TINY);
  const { standIn, workspace } = sandbox;
  await cli.ok(...UPLOAD, '--wait');
  const { id } = JSON.parse(await cli.ok(...PNEUMONIA, '--json')) as Shown;
  const { children } = await ended(sandbox, id);
  // The service that tells of steps is behind the one that tells of jobs.
  const evidence = children.find(({ node }) => node === 'evidence')!;
  evidence.status = 'Finalizing';
  evidence.startedAt = new Date(Date.now() - 3_600_000).toISOString();
  for (let look = 0; look < 2; look++) {
    const { status, reason } = await show(cli, id);
    assert.deepEqual(
      [status, reason],
      ['WAITING', 'evidence: the job is over, and Azure ML does not tell yet how this step ended'],
    );
  }
  evidence.status = 'Completed';
  // A proxy answers in its place: said, and asked again.
  standIn.faults.push({ match: /\/children$/, status: 200, times: 1 });
  const odd = await cli.run(['run', 'show', id]);
  assert.match(odd.stderr, /note: .*run history answers with something else than it should/);
  // A log, and the orchestrator's storage, that cannot be read.
  evidence.logFiles = { 'user_logs/std_log.txt': `${standIn.url}/a-log` };
  standIn.faults.push({ match: /\/a-log$/, status: 403, times: 1 });
  const storage = workspace.datastores.get('datastore_orchestrator')!;
  workspace.datastores.delete('datastore_orchestrator');
  for (let look = 0; look < 2; look++) {
    const { status, steps } = await show(cli, id);
    assert.equal(status, 'COMPLETED');
    assert.deepEqual(
      Object.values(steps).map(({ attempts }) => attempts.map((each) => each.status).join()),
      Object.values(steps).map(() => 'completed'),
    );
    // Once, however often it was looked at.
    assert.equal(steps['iteration_1_silo0_training']!.metrics.length, 2);
  }
  assert.match(await cli.fails('run', 'report', id), /no datastore "datastore_orchestrator"/);
  workspace.datastores.set('datastore_orchestrator', storage);
  // A model that is not the one of the evidence.
  const model = containerOf(sandbox.machineLearning, storage).getBlockBlobClient(
    `federated_learning/last_model/${evidence.runId}/model.safetensors`,
  );
  const own = await model.downloadToBuffer();
  await model.upload('another', 7);
  assert.match(
    await cli.fails('run', 'report', id),
    /last_model.model\.safetensors: SHA-256 \w+, and the evidence names \w+/,
  );
  await model.upload(own, own.length);
  assert.match(await cli.ok('run', 'report', id), /Report: /);
  assert.match(await cli.ok('model', 'card', '--model', id), /federated/i);
});

test('a job that arrived, though its answer was lost, is followed; one that never arrived ends', {
  skip: withoutAzurite,
}, async (context) => {
  const { cli, standIn, workspace } = await openCliOnAzure(context);
  standIn.faults.push({ match: /^PUT .*\/jobs\//, status: 504, times: 20, carriedOut: true });
  const lost = await cli.run([...UPLOAD, '--wait']);
  assert.equal(lost.code, 0, lost.stderr);
  assert.match(lost.stdout, /Next: fedrad submit pneumonia --workspace_name aml-fldemo --resource_group rg-fldemo/);
  const [first] = [...workspace.jobs.keys()] as [string];
  assert.equal((await show(cli, first)).status, 'COMPLETED');

  standIn.faults.length = 0;
  standIn.faults.push({ match: /^PUT .*\/jobs\//, status: 504, times: 20 });
  assert.match(await cli.fails(...UPLOAD), /Azure fails \(504\)/);
  assert.match(await cli.ok('run', 'list'), /FAILED/);

  // Not even that is known.
  standIn.faults.push({ match: /^GET .*\/jobs\//, status: 504, times: 8 });
  standIn.faults[0]!.times = 20;
  const unknown = await cli.fails(...UPLOAD);
  assert.match(unknown, /run (\S+): the job was sent, and Azure does not say whether it has it/);
  const id = /run (\S+): the job was sent/.exec(unknown)![1]!;
  standIn.faults.length = 0;
  assert.match(await cli.ok('run', 'cancel', id), new RegExp(`Run ${id} is canceled\\.`));
});
