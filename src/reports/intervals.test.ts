import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aurocInterval, percentileInterval, proportionInterval, widen } from './intervals.ts';

const rounded = (interval: readonly number[], digits: number) => interval.map((edge) => edge.toFixed(digits));

test('percentiles fall between order statistics', () => {
  assert.deepEqual(percentileInterval(Float64Array.from({ length: 41 }, (_, i) => 40 - i)), [1, 39]);
  assert.deepEqual(rounded(percentileInterval(Float64Array.of(0, 1)), 3), ['0.025', '0.975']);
});

test("Wilson's interval of 81 in 263, 15 in 148, 0 in 20 and 1 in 29 (Newcombe 1998, table I)", () => {
  assert.deepEqual(rounded(proportionInterval(81 / 263, 263), 4), ['0.2553', '0.3662']);
  assert.deepEqual(rounded(proportionInterval(15 / 148, 148), 4), ['0.0624', '0.1605']);
  assert.deepEqual(rounded(proportionInterval(0, 20), 4), ['0.0000', '0.1611']);
  assert.deepEqual(rounded(proportionInterval(1 / 29, 29), 4), ['0.0061', '0.1718']);
});

test('the score interval of an AUROC solves its equation and mirrors', () => {
  const [low, high] = aurocInterval(0.8, 30, 50);
  for (const t of [low, high]) {
    const variance = (t * (1 - t) * (1 + 39 * ((1 - t) / (2 - t) + t / (1 + t)))) / 1500;
    assert.ok(Math.abs(Math.abs(t - 0.8) - 1.959963984540054 * Math.sqrt(variance)) < 1e-9);
  }
  const mirrored = aurocInterval(0.2, 30, 50);
  assert.deepEqual(rounded([1 - mirrored[1], 1 - mirrored[0]], 9), rounded([low, high], 9));
});

test('a perfect score is not certainty, and more patients narrow it', () => {
  const [low, high] = aurocInterval(1, 20, 20);
  assert.equal(high, 1);
  assert.ok(low > 0.8 && low < 0.95, `${low}`);
  assert.ok(aurocInterval(1, 200, 200)[0] > low);
});

test('a design effect of 4 doubles both sides, within [0, 1]', () => {
  assert.deepEqual(rounded(widen([0.8, 0.95], 0.9, 4), 12), rounded([0.7, 1], 12));
});
