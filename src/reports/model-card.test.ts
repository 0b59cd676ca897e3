import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '../base/index.ts';
import { summariseScores } from './evaluate.ts';
import { figuresSchema } from './figures.ts';
import { type ModelCard, modelCardSchema } from './model-card.ts';
import { renderModelCard } from './model-card-text.ts';
import { poolEvaluations } from './pool.ts';

/** Six images of six patients, one of them misjudged; the second hospital has no image without pneumonia. */
const silos = [
  { probabilities: [0.1, 0.4, 0.9, 0.8, 0.3, 0.7], labels: [0, 0, 1, 1, 1, 0] },
  { probabilities: [0.9, 0.6], labels: [1, 1] },
].map(({ probabilities, labels }) =>
  summariseScores({
    probabilities: Float32Array.from(probabilities),
    labels: Uint8Array.from(labels),
    patients: Int32Array.from(labels.keys()),
    threshold: 0.5,
    seed: 1,
  }),
);

const card: ModelCard = {
  version: 1,
  model: {
    sha256: sha256('model'),
    chosen: 'best',
    iteration: 3,
    bestBy: 'validation AUROC, pooled over the hospitals',
    thresholdBy: 'fixed beforehand',
    stoppedEarly: false,
  },
  synthetic: false,
  network: {
    imageSize: 224,
    normalisation: { mean: 0.4818, std: 0.2357 },
    labels: ['NORMAL', 'PNEUMONIA'],
    parameters: 25783554,
    layers: [
      { op: 'conv2d', count: 3 },
      { op: 'relu', count: 4 },
      { op: 'linear', count: 2 },
    ],
  },
  training: { num_of_iterations: 5, lr: 0.01, dp: false, dp_target_epsilon: 50, channels: [32, 64, 128], seed: 31415 },
  hospitals: silos.map((test, index) => ({
    name: `silo${index}`,
    splits: [
      { split: 'train', normal: 1023 - index, pneumonia: 41, patients: 512 },
      { split: 'test', normal: 3 - 3 * index, pneumonia: 3 - index, patients: 6 - 4 * index },
    ],
    offered: 1080,
    used: 1070 - index,
    patientDisjoint: true,
    manifestSha256: sha256(`manifest ${index}`),
    test: figuresSchema.parse(test),
  })),
  test: figuresSchema.parse(poolEvaluations(silos, { seed: 1 })),
};

test('the card says what the model is, what was measured and what was not', () => {
  const text = renderModelCard(modelCardSchema.parse(JSON.parse(JSON.stringify(card))));
  assert.deepEqual(text.match(/^##? .*/gm), [
    '# Pneumonia on chest radiographs: a federated model',
    ...['Model', 'Intended use', 'Training data', 'Figures', 'Training'].map((title) => `## ${title}`),
    ...['Privacy', 'Limits', 'Use', 'Hashes', 'Licence'].map((title) => `## ${title}`),
  ]);
  for (const line of [
    '> **For research use only. Not a medical device.**',
    '- Network: 3 conv2d, 4 relu, 2 linear; 25,783,554 parameters.',
    '| hospital | train | test | images used |',
    '|---|---:|---:|---:|',
    '| silo0 | 1,023 / 41 / 512 | 3 / 3 / 6 | 1,070 of 1,080 |',
    '- silo1: auroc not measured: ',
    '  channels: [32,64,128]',
    '  dp: false',
    `| model.safetensors | \`${sha256('model')}\` |`,
    `| list of the images of silo1 | \`${sha256('manifest 1')}\` |`,
    'iteration 3, chosen by validation AUROC',
  ])
    assert.ok(text.includes(line), line);
  assert.match(
    text,
    /^\| silo0 \| 0\.\d{3} \[\d\.\d{3}, \d\.\d{3}\] \| 0\.667 \[.*\] \| 0\.667 \[.*\] \| 0\.667 \[.*\] \| 6 \| 6 \|$/m,
  );
  assert.match(text, /^\| silo1 \| - \| 1\.000 .* \| - \| 1\.000 .* \| 2 \| 2 \|$/m);
  assert.doesNotMatch(text, /dp_target_epsilon|undefined|NaN|\[object|Run `/);
});

test('synthetic images, a split by file and the run are said', () => {
  const [first, ...others] = card.hospitals;
  const training = { ...card.training, baselines: ['alone', 'pooled'] };
  const run = { id: 'calm_lung_7f3k2q', graphSha256: sha256('graph'), fedrad: '0.1.0' };
  const text = renderModelCard({
    ...card,
    synthetic: true,
    training,
    hospitals: [{ ...first!, patientDisjoint: false }, ...others],
    run,
  });
  assert.match(text, /> \*\*The images are synthetic phantoms/);
  assert.match(text, /images were dealt by file/);
  assert.match(text, /a model for comparison on the images of all hospitals in one place/);
  assert.match(text, /Run `calm_lung_7f3k2q`; card written by fedrad 0\.1\.0/);
  assert.ok(text.includes(sha256('graph')));
});

test('names that could break out of a table, and anything unforeseen, are refused', () => {
  const [first] = card.hospitals;
  for (const name of ['a | b', '<img>', 'silo\n# x', '../data'])
    assert.equal(modelCardSchema.safeParse({ ...card, hospitals: [{ ...first!, name }] }).success, false, name);
  assert.equal(modelCardSchema.safeParse({ ...card, patients: ['x'] }).success, false);
});
