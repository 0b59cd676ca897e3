/** @file Tracking URIs, names and batches: the pure parts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchesOf } from './batches.ts';
import { trackedName, trackedParams, trackedValue } from './names.ts';
import { parseTrackingUri, placeText } from './tracking-uri.ts';

test('tracking URIs by their kind', () => {
  const at = (uri: string) => parseTrackingUri(uri, '/work');
  assert.deepEqual(at('https://mlflow.example.org/base/'), {
    kind: 'server',
    url: 'https://mlflow.example.org/base',
    azure: false,
  });
  const folders = {
    mlruns: '/work/mlruns',
    './a b': '/work/a b',
    '/x/mlruns': '/x/mlruns',
    'file:mlruns': '/work/mlruns',
    'file:./mlruns': '/work/mlruns',
    'file:/x/a%20b': '/x/a b',
    'file:///x': '/x',
  };
  for (const [uri, path] of Object.entries(folders)) assert.deepEqual(at(uri), { kind: 'folder', path }, uri);
  for (const uri of ['', 'databricks', 'sqlite:///x.db', 'postgresql://u:p@h/d', 'file:', 'https://', 'http://h/?a=1'])
    assert.throws(() => at(uri), /MLFLOW_TRACKING_URI: .*start mlflow server/, uri);
  assert.throws(
    () => at('postgresql://u:geheim@h/d'),
    (error: Error) => !error.message.includes('geheim'),
  );
});

test("Azure ML's scheme stands for HTTPS, without what is for its own plugin", () => {
  const path = '/mlflow/v1.0/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w';
  const place = parseTrackingUri(`azureml://westeurope.api.azureml.ms${path}?is-remote=True`);
  assert.deepEqual(place, { kind: 'server', url: `https://westeurope.api.azureml.ms${path}`, azure: true });
  assert.deepEqual(parseTrackingUri(placeText(place)), place);
});

test('a place as text has no password', () => {
  const place = parseTrackingUri('https://ann:geheim%40@mlflow.example.org');
  assert.deepEqual(place.kind === 'server' && place.login, { user: 'ann', password: 'geheim@' });
  assert.equal(placeText(place), 'https://mlflow.example.org');
});

test('names are those that every server takes', () => {
  const names = {
    'iteration_1/silo0/Train Loss': 'iteration_1/silo0/Train Loss',
    'Größe.2-a': 'Größe.2-a',
    'a:b"c\n': 'a_b_c_',
    '/a//../b/.': '_/a/_/_/b/_',
    '': '_',
    '...': '...',
  };
  for (const [name, tracked] of Object.entries(names)) assert.equal(trackedName(name), tracked);
  assert.equal(trackedName('x'.repeat(300)).length, 250);
});

test('values are text, as long as every server takes it', () => {
  assert.deepEqual(trackedParams({ lr: 0.01, kind: 'small', layers: [{ a: 1 }], none: null, long: 'x'.repeat(251) }), {
    lr: '0.01',
    kind: 'small',
    layers: '[{"a":1}]',
    none: 'null',
    long: `${'x'.repeat(249)}…`,
  });
  assert.equal(trackedValue('x'.repeat(250)), 'x'.repeat(250));
});

test('batches keep every limit and the order', () => {
  const metrics = Array.from({ length: 3000 }, (_, step) => ({ name: 'ü'.repeat(240), value: step, at: 1, step }));
  const params = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`p${i}`, 'ü'.repeat(250)]));
  const batches = [...batchesOf({ metrics, params })];
  for (const batch of batches) {
    assert.ok(batch.params.length <= 100);
    assert.ok(batch.metrics.length + batch.params.length <= 1000);
    assert.ok(Buffer.byteLength(JSON.stringify({ run_id: 'x'.repeat(256), ...batch })) <= 1_000_000);
  }
  assert.deepEqual(
    batches.flatMap((batch) => batch.metrics.map(({ value }) => value)),
    metrics.map(({ value }) => value),
  );
  assert.equal(batches.flatMap((batch) => batch.params).length, 150);
  assert.deepEqual([...batchesOf({})], []);
});
