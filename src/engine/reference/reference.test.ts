/** @file Holds each operation of the oracle to finite differences, and its corner cases to what PyTorch documents. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { erf } from '../erf.ts';
import { elements, type Shape } from '../graph.ts';
import { lcg } from '../testing.ts';
import { conv2d, linear } from './convolution.ts';
import { crossEntropy } from './loss.ts';
import { batchNorm2d, groupNorm } from './norms.ts';
import { dropout, gelu, relu } from './pointwise.ts';
import { avgPool2d, globalAvgPool, maxPool2d } from './pooling.ts';
import { type Batch, batchOf, type Evaluated, type Values } from './tensor.ts';

const uniform = lcg(23);
const drawn = (length: number, from = -1, to = 1): Float64Array =>
  Float64Array.from({ length }, () => from + (to - from) * uniform());

const IMAGES = 3;
const map = (channels: number, height: number, width: number): Shape => ({ channels, height, width });
const conv = (out: number, kernel: [number, number], stride: [number, number], padding: [number, number], groups = 1) =>
  ({
    op: 'conv2d' as const,
    ...{ name: 'c', out_channels: out, kernel_size: kernel, stride, padding, groups, bias: true },
  }) as const;
const convValues = (out: number, taps: number): Values => ({ weight: drawn(out * taps), bias: drawn(out) });
const norm = (channels: number): Values => ({ weight: drawn(channels, 0.5, 1.5), bias: drawn(channels) });
const running = (channels: number): Values => ({ running_mean: drawn(channels), running_var: drawn(channels, 0.5, 2) });
const batchNorm = { op: 'batch_norm2d', name: 'n', eps: 1e-3, momentum: 0.3 } as const;

type Operation = (x: Batch, parameters: Values) => Evaluated;

const [C6, C4] = [norm(6), norm(4)];
const [R6, keep] = [running(6), Float64Array.from({ length: IMAGES * 6 * 20 }, () => (uniform() < 0.3 ? 0 : 1 / 0.7))];
const operations: readonly (readonly [string, Shape, Operation, Values])[] = [
  ['conv2d 3x3', map(2, 5, 7), (x, p) => conv2d(conv(3, [3, 3], [1, 1], [1, 1]), x, p), convValues(3, 18)],
  ['conv2d without bias', map(2, 4, 3), (x, p) => conv2d(conv(5, [1, 1], [1, 1], [0, 0]), x, p), { weight: drawn(10) }],
  ['conv2d 5x5, stride 2', map(3, 9, 6), (x, p) => conv2d(conv(4, [5, 5], [2, 2], [2, 2]), x, p), convValues(4, 75)],
  ['conv2d 2x5, stride 3x1', map(1, 8, 6), (x, p) => conv2d(conv(2, [2, 5], [3, 1], [0, 3]), x, p), convValues(2, 10)],
  ['conv2d in 2 groups', map(4, 5, 4), (x, p) => conv2d(conv(6, [3, 2], [1, 2], [1, 0], 2), x, p), convValues(6, 12)],
  ['conv2d depthwise', map(6, 5, 4), (x, p) => conv2d(conv(6, [3, 3], [2, 1], [1, 1], 6), x, p), convValues(6, 9)],
  [
    'conv2d depthwise, twice as wide',
    map(3, 3, 5),
    (x, p) => conv2d(conv(6, [3, 3], [1, 1], [0, 1], 3), x, p),
    convValues(6, 9),
  ],
  [
    'linear',
    map(2, 3, 2),
    (x, p) => linear({ op: 'linear', name: 'l', out_features: 5, bias: true }, x, p),
    convValues(5, 12),
  ],
  ['max_pool2d 2x2', map(2, 5, 6), (x) => maxPool2d({ kernel_size: [2, 2], padding: [0, 0] }, x), {}],
  [
    'max_pool2d 3x3, stride 2',
    map(2, 5, 6),
    (x) => maxPool2d({ kernel_size: [3, 3], stride: [2, 2], padding: [1, 1] }, x),
    {},
  ],
  [
    'max_pool2d 1x3, stride 3x1',
    map(2, 7, 4),
    (x) => maxPool2d({ kernel_size: [1, 3], stride: [3, 1], padding: [0, 1] }, x),
    {},
  ],
  ['avg_pool2d 2x3', map(2, 5, 7), (x) => avgPool2d({ kernel_size: [2, 3], padding: [0, 0] }, x), {}],
  [
    'avg_pool2d 3x3, stride 1x2',
    map(2, 5, 6),
    (x) => avgPool2d({ kernel_size: [3, 3], stride: [1, 2], padding: [1, 1] }, x),
    {},
  ],
  ['global_avg_pool', map(3, 2, 5), (x) => globalAvgPool(x), {}],
  ['batch_norm2d in training', map(4, 2, 3), (x, p) => batchNorm2d(batchNorm, x, { ...p, ...R6 }, true), C4],
  ['batch_norm2d in evaluation', map(6, 2, 3), (x, p) => batchNorm2d(batchNorm, x, { ...p, ...R6 }, false), C6],
  ...[1, 2, 6].map(
    (groups) =>
      [
        `group_norm of ${groups}`,
        map(6, 3, 2),
        (x, p) => groupNorm({ op: 'group_norm', name: 'n', num_groups: groups, eps: 1e-3 }, x, p),
        C6,
      ] as const satisfies (typeof operations)[number],
  ),
  ['relu', map(2, 3, 5), relu, {}],
  ['gelu', map(2, 3, 5), gelu, {}],
  ['dropout', map(6, 4, 5), (x) => dropout(x, keep), {}],
];

for (const [title, shape, operation, parameters] of operations) {
  test(`the gradient of ${title} is the slope of its value`, () => {
    const x = drawn(IMAGES * elements(shape), -2, 2);
    const { y, backward } = operation(batchOf(IMAGES, shape, x), parameters);
    const gY = drawn(y.data.length);
    const { gX, gP = {} } = backward(gY);
    const weighted = (moved: Float64Array, values: Values): number =>
      operation(batchOf(IMAGES, shape, moved), values).y.data.reduce((sum, value, e) => sum + value * gY[e]!, 0);
    checkSlopes('x', x, gX, (moved) => weighted(moved, parameters));
    assert.deepEqual(Object.keys(gP), Object.keys(parameters));
    for (const [kind, values] of Object.entries(parameters))
      checkSlopes(kind, values, gP[kind]!, (moved) => weighted(x, { ...parameters, [kind]: moved }));
  });
}

/** Holds `gradient` to central differences of f at `values`. */
function checkSlopes(
  name: string,
  values: Float64Array,
  gradient: Float64Array,
  f: (moved: Float64Array) => number,
): void {
  assert.equal(gradient.length, values.length);
  const step = 1e-5;
  for (const [e, value] of values.entries()) {
    const slope = (f(values.with(e, value + step)) - f(values.with(e, value - step))) / (2 * step);
    assert.ok(
      Math.abs(slope - gradient[e]!) < 1e-7 + 1e-7 * Math.abs(slope),
      `${name}[${e}]: ${slope}, ${gradient[e]}`,
    );
  }
}

test('the gradient of the weighted cross-entropy is its slope, also far from 0', () => {
  const labels = [1, 0, 2, 1, 1];
  for (const classWeights of [undefined, [0.3, 2, 1.25]]) {
    const logits = drawn(15, -3, 3).map((value, e) => value + (e < 3 ? 800 : 0));
    const { gradient } = crossEntropy(logits, labels, classWeights);
    checkSlopes('logits', logits, gradient, (moved) => crossEntropy(moved, labels, classWeights).loss);
  }
  // Weighted mean: (1 * log 2 + 3 * log 2) / (1 + 3), and of unequal losses (1 * 0 + 3 * 10) / 4.
  assert.ok(Math.abs(crossEntropy(new Float64Array(4), [0, 1], [1, 3]).loss - Math.LN2) < 1e-15);
  assert.ok(Math.abs(crossEntropy(Float64Array.of(50, 0, 10, 0), [0, 1], [1, 3]).loss - 7.5) < 1e-4);
});

test('of equals in a window the first in row-major order takes the gradient, and padding never wins', () => {
  const layer = { kernel_size: [3, 3], stride: [2, 2], padding: [1, 1] } as const;
  const { y, backward } = maxPool2d(layer, batchOf(1, map(1, 4, 5), new Float64Array(20).fill(-7)));
  assert.deepEqual([...y.data], [-7, -7, -7, -7, -7, -7]);
  // Windows begin at rows -1, 1 and columns -1, 1, 3; the first pixel of each that is in the image:
  const expected = new Float64Array(20);
  for (const [e, first] of [0, 1, 3, 5, 6, 8].entries()) expected[first] = e + 1;
  assert.deepEqual(backward(Float64Array.of(1, 2, 3, 4, 5, 6)).gX, expected);
});

test('overlapping windows with one largest value add their gradients', () => {
  const x = new Float64Array(25).with(12, 1);
  const { y, backward } = maxPool2d(
    { kernel_size: [3, 3], stride: [1, 1], padding: [0, 0] },
    batchOf(1, map(1, 5, 5), x),
  );
  assert.deepEqual([...y.data], Array(9).fill(1));
  assert.equal(backward(new Float64Array(9).fill(0.5)).gX[12], 4.5);
});

test('an average counts its padding as zeros', () => {
  const x = batchOf(1, map(1, 2, 3), Float64Array.of(1, 2, 3, 4, 5, 6));
  const { y } = avgPool2d({ kernel_size: [2, 3], stride: [2, 2], padding: [1, 1] }, x);
  const sums = [1 + 2, 2 + 3, 4 + 5, 5 + 6];
  for (const [e, sum] of sums.entries()) assert.ok(Math.abs(y.data[e]! - sum / 6) < 1e-15);
});

test('running statistics move by the momentum, the variance by its unbiased estimate', () => {
  const x = batchOf(2, map(1, 1, 2), Float64Array.of(1, 3, 5, 7));
  const values = { running_mean: Float64Array.of(10), running_var: Float64Array.of(1) };
  const { buffers } = batchNorm2d(
    batchNorm,
    x,
    { ...values, weight: Float64Array.of(1), bias: Float64Array.of(0) },
    true,
  );
  assert.ok(Math.abs(buffers!['running_mean']![0]! - (0.7 * 10 + 0.3 * 4)) < 1e-12);
  assert.ok(Math.abs(buffers!['running_var']![0]! - (0.7 + (0.3 * 20) / 3)) < 1e-12);
});

test('erf to double precision', () => {
  // Abramowitz and Stegun, table 7.1, and erf(3) = 1 - 2.209049699858544e-5.
  for (const [x, value] of [
    [0, 0],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [3, 0.9999779095030014],
    [-1, -0.8427007929497149],
    [8, 1],
  ] as const)
    assert.ok(Math.abs(erf(x) - value) < 1e-15, `erf(${x}) = ${erf(x)}`);
});
