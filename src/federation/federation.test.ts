import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng, type ParameterSet, shapesOf } from '../base/index.ts';
import { average, checkUpdate, type Update } from './average.ts';
import { STRATEGIES, type StrategyName } from './strategies.ts';

const model = (seed: number, scale = 1): ParameterSet => {
  const rng = openRng(seed, 'model');
  return new Map([
    ['conv.weight', { shape: [2, 3], data: Float32Array.from({ length: 6 }, () => scale * rng.normal()) }],
    ['fc.bias', { shape: [2], data: Float32Array.from({ length: 2 }, () => scale * rng.normal()) }],
  ]);
};
const values = (parameters: ParameterSet) => [...parameters.values()].flatMap(({ data }) => [...data]);
const update = (silo: string, examples: number, parameters: ParameterSet): Update => ({ silo, examples, parameters });
const close = (a: ParameterSet, b: ParameterSet) => {
  for (const [i, value] of values(a).entries()) assert.ok(Math.abs(value - values(b)[i]!) < 1e-6);
};

test('the mean weighs silos by their examples, or equally', () => {
  const updates = [update('silo0', 100, model(1)), update('silo1', 300, model(2)), update('silo2', 50, model(3))];
  const [a, b, c] = updates.map(({ parameters }) => values(parameters)) as [number[], number[], number[]];
  assert.deepEqual(
    values(average(updates, 'examples')),
    a.map((_, i) => Math.fround((100 * a[i]! + 300 * b[i]! + 50 * c[i]!) / 450)),
  );
  assert.deepEqual(
    values(average(updates, 'mean')),
    a.map((_, i) => Math.fround((a[i]! + b[i]! + c[i]!) / 3)),
  );
});

test('sums run in float64: a large value that cancels leaves the small one', () => {
  const of = (value: number) => new Map([['w', { shape: [1], data: Float32Array.of(value) }]]);
  const mean = average([update('a', 1, of(2 ** 30)), update('b', 1, of(0.3)), update('c', 1, of(-(2 ** 30)))], 'mean');
  assert.ok(Math.abs(mean.get('w')!.data[0]! - 0.1) < 1e-7);
});

test('an update that does not fit is refused', () => {
  const expected = shapesOf(model(1));
  checkUpdate(update('silo1', 3, model(2)), expected);
  assert.throws(() => checkUpdate(update('silo1', 0, model(2)), expected), /update of silo1: .*got 0/);
  assert.throws(() => checkUpdate(update('silo1', 3, model(2, Number.POSITIVE_INFINITY)), expected), /finite/);
  assert.throws(() => average([], 'examples'), /no update/);
});

for (const name of Object.keys(STRATEGIES) as StrategyName[]) {
  const strategy = STRATEGIES[name];
  test(`${name}: silos that agree with the global model leave it as it is`, () => {
    const options = { serverLearningRate: 0.3, serverMomentum: 0.7 };
    const first = strategy(model(1), model(1), undefined, options);
    close(strategy(first.parameters, model(1), first.state, options).parameters, model(1));
  });
  test(`${name}: with rate 1 and no momentum it is the mean`, () => {
    const options = { serverLearningRate: 1, serverMomentum: 0 };
    const first = strategy(model(1), model(2), undefined, options);
    close(strategy(first.parameters, model(3), first.state, options).parameters, model(3));
  });
  test(`${name}: a server learning rate of 0.3 goes 0.3 of the way at first`, () => {
    const { parameters } = strategy(model(1), model(2), undefined, { serverLearningRate: 0.3, serverMomentum: 0.9 });
    const [from, to] = [values(model(1)), values(model(2))];
    for (const [i, value] of values(parameters).entries()) {
      assert.ok(Math.abs(value - (from[i]! + 0.3 * (to[i]! - from[i]!))) < 1e-6);
    }
  });
}

test('fedavgm carries 0.5 of its velocity into the next iteration', () => {
  const of = (value: number) => new Map([['w', { shape: [1], data: Float32Array.of(value) }]]);
  const options = { serverLearningRate: 1, serverMomentum: 0.5 };
  const first = STRATEGIES.fedavgm(of(0), of(2), undefined, options);
  assert.equal(first.parameters.get('w')!.data[0], 2);
  // v = 0.5 * 2 + (3 - 2) = 2, w = 2 + 2
  assert.equal(STRATEGIES.fedavgm(first.parameters, of(3), first.state, options).parameters.get('w')!.data[0], 4);
});

test('running statistics of batch norms take the mean, without momentum or server learning rate; no variance is negative', () => {
  const set = (w: number, variance: number): ParameterSet =>
    new Map([
      ['bn.weight', { shape: [1], data: Float32Array.of(w) }],
      ['bn.running_var', { shape: [1], data: Float32Array.of(variance) }],
    ]);
  const options = { serverLearningRate: 2, serverMomentum: 0.9 };
  let [global, state]: [ParameterSet, ParameterSet | undefined] = [set(1, 1), undefined];
  for (let round = 0; round < 3; round++) {
    const step = STRATEGIES.fedavgm(global, set(0.5, 0.05), state, options);
    [global, state] = [step.parameters, step.state];
    assert.equal(global.get('bn.running_var')!.data[0], Math.fround(0.05));
  }
  const shapes = shapesOf(global);
  const update = { silo: 'silo0', examples: 1, parameters: set(1, -0.5) };
  assert.throws(() => checkUpdate(update, shapes), /update of silo0: "bn.running_var": element 0 is -0.5/);
});
