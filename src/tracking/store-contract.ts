/** @file What every tracking store must do, as tests over a store and what a reader of its own kind sees in it. For tests only. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { MlflowRun } from '../../test/azure/mlflow.ts';
import type { MetricPoint, TrackingStore } from './store.ts';
import { Refused } from './store.ts';

export interface Opened {
  readonly store: TrackingStore;
  /** What is there, seen by another reader. */
  readonly read: () => { readonly experiments: readonly string[]; readonly runs: readonly MlflowRun[] };
}

const NEW_RUN = { name: 'calm_lung', startedAt: 1_700_000_000_000, tags: { 'fedrad.step': 'silo0_training' } };

export function testTrackingStore(kind: string, open: (context: TestContext) => Promise<Opened>): void {
  test(`${kind}: an experiment is made once and found again`, async (context) => {
    const { store, read } = await open(context);
    const id = await store.experiment('fl_demo_pneumonia');
    assert.equal(await store.experiment('fl_demo_pneumonia'), id);
    assert.notEqual(await store.experiment('fl_demo_upload_data'), id);
    assert.deepEqual([...read().experiments].sort(), ['Default', 'fl_demo_pneumonia', 'fl_demo_upload_data']);
  });

  test(`${kind}: two that make the same experiment at once get one`, async (context) => {
    const { store } = await open(context);
    const ids = await Promise.all([1, 2, 3, 4].map(() => store.experiment('one')));
    assert.equal(new Set(ids).size, 1);
  });

  test(`${kind}: a run with its parameters and metrics is read back as it was`, async (context) => {
    const { store, read } = await open(context);
    const experimentId = await store.experiment('fl_demo_pneumonia');
    const id = await store.startRun({ experimentId, ...NEW_RUN });
    const metrics: MetricPoint[] = [
      { name: 'iteration_1/silo0/Train Loss', value: 0.6931471805599011, at: 1_700_000_001_000, step: 0 },
      { name: 'iteration_1/silo0/Train Loss', value: 1e-7, at: 1_700_000_002_000, step: 1 },
      { name: 'Pooled Test AUROC', value: 0.972, at: 1_700_000_003_000, step: 2 },
    ];
    await store.log(id, { params: { lr: '0.01', network: '{"kind":"small"}' } });
    await store.log(id, { metrics });
    assert.equal(read().runs[0]!.status, 'RUNNING');
    await store.setStatus(id, 'FINISHED', 1_700_000_004_000);
    const [run, ...others] = read().runs;
    assert.equal(others.length, 0);
    assert.equal(run!.id, id);
    assert.equal(run!.experimentId, experimentId);
    assert.equal(run!.name, 'calm_lung');
    assert.equal(run!.status, 'FINISHED');
    assert.deepEqual([run!.startTime, run!.endTime], [1_700_000_000_000, 1_700_000_004_000]);
    assert.equal(run!.tags.get('fedrad.step'), 'silo0_training');
    assert.equal(run!.tags.get('mlflow.runName'), 'calm_lung');
    assert.deepEqual(Object.fromEntries(run!.params), { lr: '0.01', network: '{"kind":"small"}' });
    const points = metrics.map(({ name, value, at, step }) => ({ key: name, value, timestamp: at, step }));
    const byTime = (a: { timestamp: number }, b: { timestamp: number }) => a.timestamp - b.timestamp;
    assert.deepEqual(run!.metrics.toSorted(byTime), points);
    await store.setStatus(id, 'RUNNING');
    assert.equal(read().runs[0]!.status, 'RUNNING');
  });

  test(`${kind}: more metrics and parameters than a request takes arrive all`, async (context) => {
    const { store, read } = await open(context);
    const id = await store.startRun({ experimentId: await store.experiment('many'), ...NEW_RUN });
    const metrics = Array.from({ length: 2500 }, (_, step) => ({ name: 'loss', value: step / 7, at: 5, step }));
    const params = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`p${i}`, String(i)]));
    await store.log(id, { metrics, params });
    const [run] = read().runs;
    assert.deepEqual(
      run!.metrics.map(({ value }) => value),
      metrics.map(({ value }) => value),
    );
    assert.deepEqual(Object.fromEntries(run!.params), params);
  });

  test(`${kind}: a parameter may come twice and cannot change`, async (context) => {
    const { store, read } = await open(context);
    const id = await store.startRun({ experimentId: await store.experiment('params'), ...NEW_RUN });
    await store.log(id, { params: { lr: '0.01' } });
    await store.log(id, { params: { lr: '0.01' } });
    await assert.rejects(store.log(id, { params: { lr: '0.02' } }), Refused);
    assert.equal(read().runs[0]!.params.get('lr'), '0.01');
  });

  test(`${kind}: a run that is not there is refused`, async (context) => {
    const { store } = await open(context);
    await store.experiment('none');
    await assert.rejects(store.log('0123456789abcdef', { params: { lr: '1' } }), Refused);
    await assert.rejects(store.setStatus('0123456789abcdef', 'FAILED', 1), Refused);
  });
}
