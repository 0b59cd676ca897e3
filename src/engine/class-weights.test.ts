import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { classWeightsSchema, weightsFor } from './class-weights.ts';
import { type LabelledImages, openEngine } from './engine.ts';
import { headGradients } from './head.ts';
import { pneumoniaNetwork } from './network.ts';
import { sgd } from './optimiser.ts';
import { drawnCase, lcg, relativeDistance } from './testing.ts';

const numbers = z.array(z.number());
const fixtures = z.object({
  weighted: z.array(
    z.object({
      weights: z.tuple([z.number(), z.number()]),
      labels: numbers,
      loss: z.number(),
      weight: numbers,
      bias: numbers,
    }),
  ),
});
const { weighted } = fixtures.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures/optimisers.json'), 'utf8')),
);

const drawn = (seed: number, count: number): Float32Array => {
  const uniform = lcg(seed);
  return Float32Array.from({ length: count }, () => uniform() * 2 - 1);
};

for (const { weights, labels, ...expected } of weighted) {
  test(`weighted loss and gradients as PyTorch's CrossEntropyLoss: ${weights}`, () => {
    const h = drawn(5, 3 * labels.length).map((value) => Math.abs(4 * value));
    const head = { weight: drawn(3, 6), bias: drawn(4, 2) };
    const got = headGradients(head, h, Uint8Array.from(labels), weights);
    assert.ok(Math.abs(got.loss / expected.loss - 1) < 1e-12, `${got.loss}, expected ${expected.loss}`);
    assert.ok(relativeDistance(got.weight, expected.weight) < 1e-12);
    assert.ok(relativeDistance(got.bias, expected.bias) < 1e-12);
  });
}

test('a class weighing twice is each of its images twice, through the whole network', async () => {
  const network = pneumoniaNetwork({ imageSize: 16, channels: [8, 16], hidden: 32, dropout: 0 });
  const { parameters, batch } = drawnCase(network, 5, 3);
  const chosen = [...batch.labels.keys()].flatMap((i) => (batch.labels[i] === 1 ? [i, i] : [i]));
  assert.ok(chosen.length > 5 && chosen.length < 10, 'both classes are there');
  const repeated = {
    images: Uint8Array.from(chosen.flatMap((i) => [...batch.images.subarray(i * 256, (i + 1) * 256)])),
    labels: Uint8Array.from(chosen, (i) => batch.labels[i]!),
  };
  const engine = await openEngine(network, { threads: 1, batchSize: 10 });
  const step = (data: LabelledImages, classWeights?: readonly [number, number]) => {
    engine.load(parameters);
    const { loss } = engine.step(data, { learningRate: 0.01, optimiser: sgd(), classWeights });
    return { loss, gradients: engine.velocity() };
  };
  const [twice, weightedStep] = [step(repeated), step(batch, [1, 2])];
  assert.ok(Math.abs(weightedStep.loss / twice.loss - 1) < 1e-6);
  for (const [name, { data }] of twice.gradients)
    assert.ok(relativeDistance(weightedStep.gradients.get(name)!.data, data) < 1e-5, name);
  await engine.close();
});

test('balanced weights are n / (2 n_c) of this hospital; one class alone weighs a finite amount', () => {
  assert.deepEqual(weightsFor('balanced', Uint8Array.of(1, 1, 1, 0)), [2, 4 / 6]);
  assert.deepEqual(weightsFor('balanced', Uint8Array.of(1, 1)), [1, 0.5]);
  assert.deepEqual(weightsFor([0.5, 3], Uint8Array.of(1, 0)), [0.5, 3]);
  assert.equal(weightsFor('none', Uint8Array.of(1, 0)), undefined);
  assert.deepEqual(classWeightsSchema.parse([1, 2.5]), [1, 2.5]);
  for (const bad of ['even', [1], [0, 1], [1, Number.NaN]])
    assert.equal(classWeightsSchema.safeParse(bad).success, false);
});
