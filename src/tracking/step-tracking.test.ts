/** @file A step's metrics from its own process, to a run that the environment names and to one of its own, whatever the server does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startMlflow } from '../../test/azure/mlflow.ts';
import { openTracking } from './open-tracking.ts';
import { type StepToTrack, type StepTracking, trackStep } from './step-tracking.ts';

function tracked(environment: Record<string, string>): { step: StepTracking | undefined; warnings: string[] } {
  const warnings: string[] = [];
  const facts: StepToTrack = {
    component: 'train-in-silo',
    parameters: { lr: 0.01, network: { kind: 'small' } },
    environment,
    now: () => 1_700_000_000_000,
    warn: (text) => void warnings.push(text),
    wait: async () => {},
  };
  return { step: trackStep(facts), warnings };
}

test('as Azure ML sets it: the run of the environment gets all, and stays its owner’s to end', async (context) => {
  const { url, runs } = await startMlflow(context, 'Bearer of.azure');
  const owner = openTracking(url, { environment: { MLFLOW_TRACKING_TOKEN: 'of.azure' } });
  const id = await owner.startRun({ experimentId: await owner.experiment('fl'), name: 'job', startedAt: 1, tags: {} });
  const { step, warnings } = tracked({
    ...{ MLFLOW_TRACKING_URI: url, MLFLOW_RUN_ID: id, MLFLOW_TRACKING_TOKEN: 'of.azure' },
    MLFLOW_EXPERIMENT_NAME: 'not asked for',
  });
  step!.metric('iteration_1/silo0/Train Loss', 0.7, 0);
  step!.metric('iteration_1/silo0/Train Loss', 0.5, 1);
  step!.metric('Silos', 3);
  await step!.close('FAILED');
  const [run, ...others] = runs();
  assert.equal(others.length, 0);
  assert.equal(run!.status, 'RUNNING');
  assert.deepEqual(
    run!.metrics.map(({ key, value, step: at }) => [key, value, at]),
    [
      ['iteration_1/silo0/Train Loss', 0.7, 0],
      ['iteration_1/silo0/Train Loss', 0.5, 1],
      ['Silos', 3, 0],
    ],
  );
  assert.deepEqual(Object.fromEntries(run!.params), { lr: '0.01', network: '{"kind":"small"}' });
  assert.deepEqual(warnings, []);
});

test('by hand: a run of its own, ended as the step ends', async (context) => {
  const { url, runs, state } = await startMlflow(context);
  for (const status of ['FINISHED', 'FAILED'] as const) {
    const { step } = tracked({ MLFLOW_TRACKING_URI: url, MLFLOW_EXPERIMENT_NAME: 'mine' });
    step!.metric('loss', 1);
    await step!.close(status);
  }
  assert.deepEqual(
    runs().map(({ name, status, metrics }) => [name, status, metrics.length]),
    [
      ['train-in-silo', 'FINISHED', 1],
      ['train-in-silo', 'FAILED', 1],
    ],
  );
  assert.equal(state.experiments.get(runs()[0]!.experimentId)!.name, 'mine');
});

test('nothing says where to: no tracking', () => {
  assert.equal(tracked({}).step, undefined);
  assert.equal(tracked({ MLFLOW_TRACKING_URI: '', MLFLOW_RUN_ID: 'a' }).step, undefined);
});

test('whatever is wrong is said once and never thrown', async (context) => {
  const { url, faults } = await startMlflow(context);
  faults.push({ match: /log-batch/, fault: 500, times: 1000 });
  const cases: [Record<string, string>, RegExp][] = [
    [{ MLFLOW_TRACKING_URI: 'databricks' }, /does not log to "databricks"/],
    [{ MLFLOW_TRACKING_URI: url, MLFLOW_RUN_ID: '../x' }, /MLFLOW_RUN_ID is no id of a run/],
    [{ MLFLOW_TRACKING_URI: url, MLFLOW_TRACKING_TOKEN: 'a\nb' }, /MLFLOW_TRACKING_TOKEN/],
    [{ MLFLOW_TRACKING_URI: url }, /it answers 500/],
    [{ MLFLOW_TRACKING_URI: 'http://127.0.0.1:1' }, /ECONNREFUSED|bad port/],
  ];
  for (const [environment, expected] of cases) {
    const { step, warnings } = tracked(environment);
    step!.metric('loss', 1);
    step!.metric('loss', Number.NaN);
    await step!.close('FINISHED');
    assert.equal(warnings.length, 1, String(expected));
    assert.match(warnings[0]!, expected);
    assert.match(warnings[0]!, /the step goes on, and its log has all metrics$/);
  }
});

test('the queue is bounded, what is no number is left out, and that is said', async (context) => {
  const { url, runs } = await startMlflow(context);
  const { step, warnings } = tracked({ MLFLOW_TRACKING_URI: url });
  for (let i = 0; i < 10_005; i++) step!.metric('loss', i, i);
  step!.metric('loss', Number.POSITIVE_INFINITY);
  await step!.close('FINISHED');
  assert.equal(runs()[0]!.metrics.length, 10_000);
  assert.match(warnings.join(), /6 metrics were no numbers, or too many to keep/);
});
