import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateScores } from './evaluate.ts';
import type { Evaluation } from './figures.ts';
import type { ComparisonRow } from './report-data.ts';
import { comparisonTable } from './table.ts';

const evaluation: Evaluation = {
  ...evaluateScores({ probabilities: Float32Array.of(0.1, 0.9), labels: Uint8Array.of(0, 1), seed: 1 }),
  n: 1234,
  auroc: 0.97249,
  auroc_ci95: [0.958, 0.98451],
  sensitivity_ci95: [0.9, 1],
  specificity_ci95: [0.85, 1],
};

test('columns align, and what was not measured has its reason below', () => {
  const rows: ComparisonRow[] = [
    { kind: 'federated-best', label: 'federated, best', evaluation },
    { kind: 'alone', label: 'silo1 alone', hospital: 'silo1', evaluation: { missing: 'the step failed' } },
    {
      kind: 'pooled',
      label: 'pooled',
      evaluation: {
        ...evaluation,
        auroc: null,
        auroc_ci95: null,
        notMeasured: { auroc: 'no image is labelled NORMAL' },
      },
    },
  ];
  assert.equal(
    comparisonTable(rows),
    `
model            AUROC [95 %]          sensitivity [95 %]    specificity [95 %]    accuracy  images
federated, best  0.972 [0.958, 0.985]  1.000 [0.900, 1.000]  1.000 [0.850, 1.000]     1.000   1,234
silo1 alone      -                     -                     -                            -       -
pooled           -                     1.000 [0.900, 1.000]  1.000 [0.850, 1.000]     1.000   1,234
silo1 alone: not measured: the step failed
pooled: auroc not measured: no image is labelled NORMAL
`.trim(),
  );
});
