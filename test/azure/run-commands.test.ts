/**
 * @file `fedrad run show`, `logs` and `cancel` of runs on Azure ML, against the stand-in: a step that failed beside others that did not, a
 * cancelation that takes its time, a sign-in that runs out meanwhile, and what Azure refuses. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cli, uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { ON_AZURE, openCliOnAzure } from './sandbox.ts';

const SUBMIT = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', ...ON_AZURE];

async function submitted(cli: Cli): Promise<string> {
  return (JSON.parse(await cli.ok(...SUBMIT, '--json')) as { id: string }).id;
}

test('a cancelation that takes its time ends the run for who follows it and who asked for it; another is refused', {
  skip: withoutAzurite,
}, async (context) => {
  const { cli, workspace } = await openCliOnAzure(context);
  await cli.write('upload.yaml', uploadConfig('phantom:3000'));
  const id = await submitted(cli);
  const follower = cli.start(['run', 'logs', id, '--follow']);
  const followed = once(follower, 'close');
  follower.stdout!.resume();
  follower.stderr!.resume();
  assert.match(await cli.ok('run', 'cancel', id), /is canceled/);
  assert.deepEqual(await followed, [0, null]);
  assert.equal(workspace.jobs.get(id)!.status, 'Canceled');
  assert.match(await cli.fails('run', 'cancel', id), /it has ended already: CANCELED/);
});

test('a step that failed is shown beside those that did not; its token was renewed meanwhile', {
  skip: withoutAzurite,
}, async (context) => {
  const { cli, workspace, standIn } = await openCliOnAzure(context);
  const { vmSize } = workspace.computes.get('silo1-01')!;
  workspace.computes.set('silo1-01', { vmSize, datastores: [] });
  standIn.tokenSeconds = 2;
  const { code, stderr } = await cli.run([...SUBMIT, '--wait']);
  assert.equal(code, 1, stderr);
  assert.doesNotMatch(stderr, /sign-in|note:/);
  // One each for the resource manager and for run history would have done.
  assert.ok(standIn.tokens.count > 4, String(standIn.tokens.count));
  standIn.tokenSeconds = 3600;
  const shown = await cli.ok('run', 'show');
  assert.match(shown, /FAILED/);
  assert.match(shown, /silo_0_upload_data\W.*completed/i);
  assert.match(shown, /silo_1_upload_data\W.*failed/i);
  // Azure ML never began it.
  assert.doesNotMatch(shown, /interrupted/);
  assert.match(shown, /the compute may not use datastore_silo1/);
});

test('what Azure refuses of cancel, logs and show is one line, and the run stays as it was seen', {
  skip: withoutAzurite,
}, async (context) => {
  const { cli, workspace, standIn, machineLearning } = await openCliOnAzure(context);
  const id = await submitted(cli);
  assert.match(await cli.fails('run', 'cancel', 'calm_lung_0000'), /no run/);
  assert.match(await cli.fails('run', 'logs', 'calm_lung_0000'), /no run/);

  standIn.faults.push({ match: /^POST .*\/cancel$/, status: 403, times: 1 });
  const refused = await cli.run(['run', 'cancel', id]);
  // It may have ended before.
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /the signed-in user may not do this|it has ended already/);
  assert.doesNotMatch(await cli.ok('run', 'show', id, '--json'), /cancel/i);

  // Until it is over, with nobody looking: then it cannot be canceled.
  for (let look = 0; workspace.jobs.get(id)!.status !== 'Completed' && look < 1200; look++) await sleep(100);
  assert.match(await cli.fails('run', 'cancel', id), /it has ended already: COMPLETED/);

  const second = await submitted(cli);
  const job = workspace.jobs.get(second)!;
  workspace.jobs.delete(second);
  const gone = await cli.run(['run', 'logs', second]);
  assert.equal(gone.code, 0);
  assert.match(gone.stderr, /note: run \S+ as it was last seen: job \S+: Azure ML does not know it yet/);
  workspace.jobs.set(second, job);

  standIn.faults.push({ match: /^GET .*\/jobs\//, status: 403, times: 1 });
  assert.match((await cli.run(['run', 'show', second])).stderr, /as it was last seen: .*may not do this/);

  machineLearning.workspaces.clear();
  const nowhere = await cli.run(['run', 'cancel', second]);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr.trim().split('\n').at(-1)!, /^fedrad: workspace aml-fldemo in rg-fldemo: not found/);
  assert.doesNotMatch(await cli.ok('run', 'show', second, '--json'), /cancel/i);
  job.cancel.abort();
});
