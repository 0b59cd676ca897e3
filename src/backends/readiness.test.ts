import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Step, StepInput } from '../pipelines/index.ts';
import { readiness } from './readiness.ts';

const from = (step: string, optional?: boolean): StepInput => ({
  from: 'step',
  step,
  output: 'model',
  ...(optional ? { optional } : {}),
});
const stepWith = (inputs: Record<string, StepInput>, minInputs?: Step['minInputs']): Step => ({
  id: 'aggregation',
  component: 'aggregate-model-weights',
  compute: 'orchestrator-01',
  inputs,
  outputs: {},
  parameters: {},
  secrets: [],
  network: false,
  optional: false,
  replace: false,
  resources: {},
  ...(minInputs ? { minInputs } : {}),
});
const finished = (...ids: string[]) =>
  new Map(
    ids.map((id) => [id, { model: { path: `azureml://datastores/d/paths/${id}`, sha256: '0'.repeat(64), bytes: 1 } }]),
  );

test('a step waits for its inputs, then starts', () => {
  const step = stepWith({ a: from('x'), b: from('y') });
  assert.deepEqual(readiness(step, { finished: finished('x'), lost: new Map() }), { kind: 'waiting' });
  assert.deepEqual(readiness(step, { finished: finished('x', 'y'), lost: new Map() }), {
    kind: 'ready',
    inputs: ['a', 'b'],
  });
});

test('a lost input makes it impossible, unless the input is optional', () => {
  const lost = new Map([['y', 'crashed']]);
  assert.deepEqual(readiness(stepWith({ a: from('x'), b: from('y') }), { finished: finished('x'), lost }), {
    kind: 'impossible',
    reason: 'y: crashed',
  });
  assert.deepEqual(readiness(stepWith({ a: from('x'), b: from('y', true) }), { finished: finished('x'), lost }), {
    kind: 'ready',
    inputs: ['a'],
  });
});

test('two of three silos are enough where two are needed; one is not', () => {
  const step = stepWith(
    {
      checkpoint: from('initial'),
      input_silo_1: from('a', true),
      input_silo_2: from('b', true),
      input_silo_3: from('c', true),
    },
    { prefix: 'input_silo_', count: 2 },
  );
  assert.deepEqual(readiness(step, { finished: finished('initial', 'a', 'c'), lost: new Map([['b', 'crashed']]) }), {
    kind: 'ready',
    inputs: ['checkpoint', 'input_silo_1', 'input_silo_3'],
  });
  assert.deepEqual(readiness(step, { finished: finished('initial', 'a'), lost: new Map([['b', 'crashed']]) }), {
    kind: 'waiting',
  });
  const both = new Map([
    ['b', 'crashed'],
    ['c', 'no space'],
  ]);
  assert.deepEqual(readiness(step, { finished: finished('initial', 'a'), lost: both }), {
    kind: 'impossible',
    reason: '1 of at least 2 silos finished: crashed; no space',
  });
});
