import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { classWeightsSchema, weightsFor } from './class-weights.ts';
import { type LabelledImages, openEngine } from './engine.ts';
import { crossEntropy } from './loss.ts';
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
    const images = labels.length;
    const h = drawn(5, 3 * images).map((value) => Math.abs(4 * value));
    const [weight, bias] = [drawn(3, 6), drawn(4, 2)];
    const logits = { data: new Float32Array(2 * images), stride: 2 };
    for (const i of logits.data.keys()) {
      const [image, c] = [i >> 1, i & 1];
      logits.data[i] = [0, 1, 2].reduce((sum, k) => sum + h[image * 3 + k]! * weight[c * 3 + k]!, bias[c]!);
    }
    const gradients = { data: new Float32Array(4 * images), stride: 4 };
    const { loss } = crossEntropy(logits, Uint8Array.from(labels), gradients, weights);
    assert.ok(Math.abs(loss / expected.loss - 1) < 1e-6, `${loss}, expected ${expected.loss}`);
    const sum = (c: number, factor: (image: number) => number): number =>
      labels.reduce((total, _, image) => total + gradients.data[image * 4 + c]! * factor(image), 0);
    const weightGradient = Array.from({ length: 6 }, (_, i) => sum(Math.floor(i / 3), (b) => h[b * 3 + (i % 3)]!));
    assert.ok(relativeDistance(weightGradient, expected.weight) < 1e-6);
    assert.ok(relativeDistance([sum(0, () => 1), sum(1, () => 1)], expected.bias) < 1e-6);
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
