import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calibrationBins, expectedCalibrationError } from './calibration.ts';

test('bins and calibration error by hand', () => {
  const at = (probability: number, positives: number) => ({ probability, n: 1, positives });
  // [0, 0.1): 0.05 and 0.07, none positive. [0.6, 0.7): 0.6 true, 0.64 false. [0.9, 1]: 0.95 and 1, both true.
  const bins = calibrationBins([at(0.05, 0), at(0.07, 0), at(0.6, 1), at(0.64, 0), at(0.95, 1), at(1, 1)]);
  assert.deepEqual(
    bins.map(({ n, positives, meanProbability }) => [n, positives, meanProbability.toFixed(3)]),
    [
      [2, 0, '0.060'],
      [2, 1, '0.620'],
      [2, 2, '0.975'],
    ],
  );
  // (2 * 0.06 + 2 * 0.12 + 2 * 0.025) / 6
  assert.equal(expectedCalibrationError(bins)!.toFixed(9), (0.41 / 6).toFixed(9));
  assert.equal(expectedCalibrationError([]), null);
});
