import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunEvent } from './run-event.ts';
import { newRunId } from './run-id.ts';
import { foldRun } from './run-state.ts';

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

const submitted: RunEvent = {
  type: 'submitted',
  at: at(0),
  experiment: 'fl_demo',
  pipeline: 'pneumonia',
  workspace: 'aml-fldemo',
  graphHash: 'abc',
};
const started = (second: number, pid = 7): RunEvent => ({
  type: 'started',
  at: at(second),
  pid,
  sandbox: 'bubblewrap',
  cores: 2,
});
const stepStarted = (second: number, attempt: number): RunEvent => ({
  type: 'step-started',
  at: at(second),
  step: 'train-0',
  attempt,
  threads: 2,
});
const metric = (second: number, value: number): RunEvent => ({
  type: 'metric',
  at: at(second),
  step: 'train-0',
  name: 'loss',
  value,
  iteration: 1,
});
const outputs = { model: { path: 'azureml://datastores/d/paths/m', sha256: 'a'.repeat(64), bytes: 103 } };
const stepFinished = (second: number, attempt: number): RunEvent => ({
  type: 'step-finished',
  at: at(second),
  step: 'train-0',
  attempt,
  outputs,
  seconds: 3.5,
  cpuSeconds: 6.25,
});

test('a run is queued, then runs, then ends with a reason', () => {
  assert.equal(foldRun([submitted]).status, 'QUEUED');
  assert.equal(foldRun([submitted, started(1)]).status, 'RUNNING');
  const canceled = foldRun([
    submitted,
    started(1),
    { type: 'cancel-requested', at: at(2), by: 'ada' },
    { type: 'finished', at: at(3), status: 'CANCELED', reason: 'canceled by ada' },
  ]);
  assert.deepEqual(
    [canceled.status, canceled.reason, canceled.cancelRequestedBy, canceled.finishedAt],
    ['CANCELED', 'canceled by ada', 'ada', at(3)],
  );
  assert.throws(() => foldRun([]), /expected a run to begin with "submitted", got nothing/);
  assert.throws(() => foldRun([started(1)]), /got started/);
});

test('a step that fails and is tried again keeps both attempts and the metrics of the last', () => {
  const events: RunEvent[] = [
    submitted,
    started(1),
    stepStarted(2, 1),
    metric(3, 0.9),
    { type: 'step-failed', at: at(4), step: 'train-0', attempt: 1, error: 'killed', logTail: ['a', 'b'] },
    stepStarted(5, 2),
    metric(6, 0.7),
    metric(7, 0.5),
    stepFinished(8, 2),
  ];
  const step = foldRun(events).steps.get('train-0');
  assert.deepEqual(step?.attempts, [
    {
      status: 'failed',
      attempt: 1,
      threads: 2,
      startedAt: at(2),
      finishedAt: at(4),
      error: 'killed',
      logTail: ['a', 'b'],
    },
    {
      status: 'completed',
      attempt: 2,
      threads: 2,
      startedAt: at(5),
      finishedAt: at(8),
      outputs,
      seconds: 3.5,
      cpuSeconds: 6.25,
    },
  ]);
  assert.deepEqual(step?.outputs, outputs);
  assert.deepEqual(
    step?.metrics.map(({ value }) => value),
    [0.7, 0.5],
  );
  for (let length = 1; length <= events.length; length++) foldRun(events.slice(0, length));
});

test('a run taken on again after a crash forgets how it ended and knows what was interrupted', () => {
  const crashed = [submitted, started(1), stepStarted(2, 1)];
  assert.equal(foldRun(crashed).steps.get('train-0')?.attempts[0]?.status, 'running');
  const again = foldRun([...crashed, started(9, 8)]);
  assert.deepEqual([again.status, again.started?.pid], ['RUNNING', 8]);
  assert.equal(again.steps.get('train-0')?.attempts[0]?.status, 'interrupted');
  const failed: RunEvent = { type: 'finished', at: at(3), status: 'FAILED', reason: 'disk full' };
  const resumed = foldRun([...crashed, failed, started(9), stepStarted(10, 2), stepFinished(11, 2)]);
  assert.equal(resumed.reason, undefined);
  assert.deepEqual(
    resumed.steps.get('train-0')?.attempts.map(({ status }) => status),
    ['interrupted', 'completed'],
  );
});

test('an attempt number used again after a crash ends only the attempt that runs', () => {
  const state = foldRun([submitted, started(1), stepStarted(2, 1), started(3), stepStarted(4, 1), stepFinished(5, 1)]);
  assert.deepEqual(
    state.steps.get('train-0')?.attempts.map(({ status }) => status),
    ['interrupted', 'completed'],
  );
});

test('folding changes none of its events', () => {
  const events = [submitted, started(1), stepStarted(2, 1), metric(3, 1), stepFinished(4, 1)];
  const before = structuredClone(events);
  foldRun(events);
  assert.deepEqual(events, before);
});

test('the name of a run follows its randomness', () => {
  assert.equal(
    newRunId(() => 0),
    'amber_airway_000000',
  );
  assert.match(newRunId(), /^[a-z]+_[a-z]+_[0-9a-hj-km-np-z]{6}$/);
  assert.equal(new Set(Array.from({ length: 1000 }, () => newRunId())).size, 1000);
});

test('a run waits for a compute that is away, and is degraded once a step is lost', () => {
  const waiting: RunEvent = { type: 'step-waiting', at: at(2), step: 'train-0', reason: 'silo0-01 is not connected' };
  const failed: RunEvent = { type: 'step-failed', at: at(4), step: 'train-0', attempt: 1, error: 'late', logTail: [] };
  const run = [submitted, started(1), stepStarted(2, 1), waiting];
  assert.deepEqual([foldRun(run).status, foldRun(run).reason], ['WAITING', 'train-0: silo0-01 is not connected']);
  assert.equal(foldRun([...run, { type: 'step-waiting', at: at(3), step: 'train-0' }]).status, 'RUNNING');
  assert.equal(foldRun([...run, stepFinished(3, 1)]).status, 'RUNNING');
  assert.equal(foldRun([...run, failed]).status, 'RUNNING', 'it is tried again');
  const lost: RunEvent[] = [...run, { ...failed, lost: true }];
  assert.deepEqual([foldRun(lost).status, foldRun(lost).reason], ['DEGRADED', 'train-0: late']);
  assert.equal(foldRun([...lost, started(5)]).status, 'DEGRADED', 'also after a crash');
  const ended: RunEvent[] = [...lost, { type: 'finished', at: at(5), status: 'FAILED', reason: 'too few' }];
  assert.deepEqual([foldRun(ended).status, foldRun(ended).reason], ['FAILED', 'too few']);
  assert.equal(foldRun([...ended, started(6)]).status, 'RUNNING', 'resumed: everything is tried again');
});
