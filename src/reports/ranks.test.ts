import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng } from '../base/index.ts';
import { aurocOfCounts, countScores, denseRanks, rocOfCounts } from './ranks.ts';

const countsOf = (scores: number[], labels: number[]) => {
  const { group, groups } = denseRanks(scores);
  return countScores(group, groups, labels);
};

test('AUROC with ties is what comparing every pair gives, for sets of every shape', () => {
  for (let round = 0; round < 200; round++) {
    const rng = openRng(11, 'pairs', round);
    const n = 2 + rng.integer(60);
    const levels = 1 + rng.integer(20);
    const scores = Array.from({ length: n }, () => rng.integer(levels) / levels);
    const labels = Array.from({ length: n }, (_, i) => (i === 0 ? 1 : i === 1 ? 0 : rng.integer(2)));
    const [positives, negatives] = [1, 0].map((label) => scores.filter((_, i) => labels[i] === label)) as [
      number[],
      number[],
    ];
    let wins = 0;
    for (const p of positives) for (const q of negatives) wins += p > q ? 1 : p === q ? 0.5 : 0;
    assert.equal(aurocOfCounts(countsOf(scores, labels)), wins / (positives.length * negatives.length));
  }
});

test('AUROC of the CT ratings of Hanley and McNeil (1982, table 1) is their 0.893', () => {
  const counts = { negatives: [33, 6, 6, 11, 2], positives: [3, 2, 2, 11, 33] };
  assert.equal(aurocOfCounts(counts)!.toFixed(3), '0.893');
});

test('the ROC curve has its corners only, and its area is the AUROC', () => {
  assert.deepEqual(rocOfCounts(countsOf([0.1, 0.2, 0.3, 0.8, 0.9], [0, 0, 1, 1, 1])), [
    [0, 0],
    [0, 1],
    [1, 1],
  ]);
  const counts = { negatives: [33, 6, 6, 11, 2], positives: [3, 2, 2, 11, 33] };
  const roc = rocOfCounts(counts);
  let area = 0;
  for (let i = 1; i < roc.length; i++) {
    const [[x0, y0], [x1, y1]] = [roc[i - 1]!, roc[i]!];
    area += ((x1 - x0) * (y0 + y1)) / 2;
  }
  assert.ok(Math.abs(area - aurocOfCounts(counts)!) < 1e-12);
});

test('one class has neither', () => {
  assert.equal(aurocOfCounts(countsOf([0.2, 0.4], [1, 1])), null);
  assert.deepEqual(rocOfCounts(countsOf([0.2, 0.4], [0, 0])), []);
});
