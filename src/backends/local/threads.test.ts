import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Step } from '../../pipelines/index.ts';
import { threadsFor } from './local-backend.ts';

const step = (component: Step['component'], id = component as string): Step => ({ id, component }) as Step;
const [training, evaluation, preparation] = [step('train-in-silo'), step('evaluate-in-silo'), step('prepare-data')];
const threads = (which: Step, ready: readonly Step[], running: readonly [Step, number][] = []) =>
  threadsFor(
    which,
    ready,
    running.map(([each, count]) => ({ step: each, threads: count })),
    4,
    'bubblewrap',
  );

test('a training starts when what is shorter has ended, and then has its share of all cores', () => {
  assert.equal(threads(training, [training, evaluation]), undefined);
  assert.equal(threads(evaluation, [evaluation]), 4);
  assert.equal(threads(training, [training], [[preparation, 1]]), undefined);
  assert.equal(threads(training, [training]), 4);
  assert.equal(threads(training, [training, step('train-in-silo-pytorch')]), 2);
  assert.equal(threads(training, [training], [[training, 2]]), 2);
  assert.equal(threads(training, [training], [[training, 4]]), undefined);
  assert.equal(threads(preparation, [preparation, training], [[training, 2]]), 1);
});
