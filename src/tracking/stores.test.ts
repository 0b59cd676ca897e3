/** @file Both tracking stores under one contract: against the stand-in for MLflow's server, and read back from the disk. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startMlflow } from '../../test/azure/mlflow.ts';
import { readMlruns } from '../../test/azure/mlruns.ts';
import { checkMlruns } from './folder-store.ts';
import { openTracking } from './open-tracking.ts';
import { Refused } from './store.ts';
import { testTrackingStore } from './store-contract.ts';

async function newFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-tracking-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

testTrackingStore('a server', async (context) => {
  const { url, state } = await startMlflow(context);
  return {
    store: openTracking(url),
    read: () => ({
      experiments: [...state.experiments.values()].map(({ name }) => name),
      runs: [...state.runs.values()],
    }),
  };
});

testTrackingStore('an mlruns folder', async (context) => {
  const folder = join(await newFolder(context), 'new', 'mlruns');
  return {
    store: openTracking(`file:${folder}`),
    read: () => {
      const { experiments, runs } = readMlruns(folder);
      return { experiments: [...experiments.values()], runs };
    },
  };
});

test('a folder that MLflow has made is added to', async (context) => {
  const folder = await newFolder(context);
  await mkdir(join(folder, '.trash'));
  await mkdir(join(folder, '417'));
  // As MLflow writes it, with its own order and quotes.
  const meta = `artifact_location: file:///x/417\ncreation_time: 1\nexperiment_id: '417'\nlast_update_time: 1\nlifecycle_stage: active\nname: mine\n`;
  await writeFile(join(folder, '417', 'meta.yaml'), meta);
  const store = openTracking(folder);
  assert.equal(await store.experiment('mine'), '417');
  await store.startRun({ experimentId: '417', name: 'a', startedAt: 1, tags: {} });
  assert.deepEqual([...readMlruns(folder).experiments], [['417', 'mine']]);
  assert.equal(readMlruns(folder).runs.length, 1);
  await checkMlruns(folder);
});

test('files of a run are private, stay in its folder, and nothing unfinished is left', async (context) => {
  const folder = join(await newFolder(context), 'mlruns');
  const store = openTracking(folder);
  const experimentId = await store.experiment('e');
  const id = await store.startRun({ experimentId, name: 'a', startedAt: 1, tags: {} });
  await store.log(id, {
    metrics: [{ name: '../../../outside', value: 1, at: 1, step: 0 }],
    params: { '/etc/x': '1' },
  });
  const run = join(folder, experimentId, id);
  assert.equal((await stat(join(run, 'metrics', '_', '_', '_', 'outside'))).mode & 0o777, 0o600);
  assert.equal((await stat(join(run, 'params', '_', 'etc', 'x'))).mode & 0o777, 0o600);
  assert.equal((await stat(run)).mode & 0o777, 0o700);
  assert.deepEqual((await readdir(join(folder, experimentId))).sort(), [id, 'meta.yaml'].sort());
  await assert.rejects(store.log('../x', {}), Refused);
});

test('a name that is a part of another is refused in a folder, and the others are taken', async (context) => {
  const folder = join(await newFolder(context), 'mlruns');
  const store = openTracking(folder);
  const id = await store.startRun({ experimentId: await store.experiment('e'), name: 'a', startedAt: 1, tags: {} });
  const point = (name: string) => ({ metrics: [{ name, value: 1, at: 1, step: 0 }] });
  await store.log(id, point('loss'));
  await assert.rejects(store.log(id, point('loss/silo0')), /loss\/silo0 is a part of another name/);
  await store.log(id, point('accuracy/silo0'));
  await assert.rejects(store.log(id, point('accuracy')), Refused);
  await assert.rejects(store.log(id, { params: { a: '1', 'a/b': '1' } }), Refused);
});

test('a folder with other things is not taken for one of MLflow', async (context) => {
  const folder = await newFolder(context);
  await checkMlruns(folder);
  await checkMlruns(join(folder, 'not there'));
  await writeFile(join(folder, 'thesis.docx'), '');
  await assert.rejects(checkMlruns(folder), /holds other things and no experiment of MLflow/);
  await assert.rejects(checkMlruns(join(folder, 'thesis.docx')), /no folder that can be read/);
});

test('a folder that cannot be made is said in one line', async (context) => {
  const folder = await newFolder(context);
  await writeFile(join(folder, 'file'), '');
  await assert.rejects(openTracking(join(folder, 'file', 'mlruns')).experiment('e'), {
    name: 'FedradError',
    message: /file/,
  });
});
