/** @file Holds the step, and its oracle, to PyTorch (fixtures/steps.json, made by fixtures/make.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { type LabelledImages, openEngine } from './engine.ts';
import { networkSchema } from './network.ts';
import { optimiserSchema, sgd } from './optimiser.ts';
import { openOptimiser } from './reference/optimiser.ts';
import { type Doubles, referenceStep, toDoubles } from './reference.ts';
import { drawnImages, drawnLabels, drawnParameters, lcg, relativeDistance } from './testing.ts';

const numbers = z.array(z.number());
/** What is kept of a tensor: its norm, projections on drawn directions, first elements. */
const digest = z.object({ norm: z.number(), projections: numbers, head: numbers });
const digests = z.record(z.string(), digest);
const fixtures = z.object({
  cases: z.array(
    z.object({
      name: z.string(),
      network: networkSchema,
      images: z.number(),
      batches: z.number(),
      optimiser: optimiserSchema,
      learningRate: z.number(),
      classWeights: z.tuple([z.number(), z.number()]).optional(),
      precision: z.enum(['single', 'double']),
      /** P(class 1) of the first batch before the first step, in evaluation: batch norms use their running statistics. */
      probabilities: numbers,
      /** Of the first step. */
      gradients: digests,
      /** Running statistics after the first step. */
      buffers: digests,
      losses: numbers,
      /** After all steps; parameters include the running statistics. */
      after: z.object({ probabilities: numbers, parameters: digests }),
    }),
  ),
});
type Case = z.infer<typeof fixtures>['cases'][number];
const { cases } = fixtures.parse(JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures/steps.json'), 'utf8')));

/** The parameters and batches that make.py drew. */
function drawn({ name, network, images, batches }: Case) {
  const uniform = lcg(name.length * 7919 + network.imageSize);
  const parameters = drawnParameters(network, uniform);
  const pixels = Array.from({ length: batches }, () => drawnImages(images, network.imageSize, uniform));
  const data = pixels.map((batch): LabelledImages => ({ images: batch, labels: drawnLabels(images, uniform) }));
  return { parameters, data };
}

/** Relative distance of a tensor to one of which only the digest is known. */
function distanceTo({ norm, projections, head }: z.infer<typeof digest>, values: Float32Array | Float64Array): number {
  const direction = lcg(17);
  // E (error . u)^2 = |error|^2 / 3 for u drawn from U(-1, 1)^n: the projections estimate the distance of the whole.
  const errors = projections.map((p) => {
    let sum = 0;
    for (const value of values) sum += value * (direction() * 2 - 1);
    return p - sum;
  });
  const whole = Math.sqrt((3 * errors.reduce((sum, e) => sum + e * e, 0)) / errors.length) / norm;
  return Math.max(whole, relativeDistance(values.subarray(0, head.length), head));
}

for (const expected of cases) {
  const { name, network, images, batches, classWeights } = expected;
  const options = classWeights ? { classWeights } : {};

  test(`the oracle’s first step as in PyTorch: ${name}`, () => {
    const { parameters, data } = drawn(expected);
    const tolerance = expected.precision === 'single' ? { loss: 1e-6, tensor: 1e-5 } : { loss: 1e-12, tensor: 1e-9 };
    const step = referenceStep(network, toDoubles(parameters), data[0]!, options);
    assert.ok(Math.abs(step.loss / expected.losses[0]! - 1) < tolerance.loss, `loss ${step.loss}`);
    assert.deepEqual([...step.gradients.keys()], Object.keys(expected.gradients));
    for (const [parameter, gradient] of step.gradients) {
      const distance = distanceTo(expected.gradients[parameter]!, gradient);
      assert.ok(distance < tolerance.tensor, `gradient of ${parameter} is off by ${distance}`);
    }
    assert.deepEqual([...step.buffers.keys()], Object.keys(expected.buffers));
    for (const [buffer, values] of step.buffers) {
      const distance = distanceTo(expected.buffers[buffer]!, values);
      assert.ok(distance < tolerance.tensor, `${buffer} is off by ${distance}`);
    }
    const { probabilities } = referenceStep(network, toDoubles(parameters), data[0]!, { training: false });
    assert.ok(relativeDistance(probabilities, expected.probabilities) < tolerance.tensor);
  });

  // A ResNet's 20 steps take the oracle too long.
  if (expected.precision === 'double' && network.layers.length < 20)
    test(`the oracle’s 20 steps as in PyTorch: ${name}`, () => {
      const { parameters, data } = drawn(expected);
      const optimise = openOptimiser(expected.optimiser, expected.learningRate);
      let doubles: Doubles = toDoubles(parameters);
      for (const [step, expectedLoss] of expected.losses.entries()) {
        const { loss, gradients, buffers } = referenceStep(network, doubles, data[step % batches]!, options);
        assert.ok(Math.abs(loss / expectedLoss - 1) < 1e-9, `step ${step}: loss ${loss}, expected ${expectedLoss}`);
        doubles = new Map([...optimise(doubles, gradients), ...buffers]);
      }
      for (const [parameter, values] of doubles) {
        const distance = distanceTo(expected.after.parameters[parameter]!, values);
        assert.ok(distance < 1e-9, `${parameter} is off by ${distance}`);
      }
      const { probabilities } = referenceStep(network, doubles, data[0]!, { training: false });
      assert.ok(relativeDistance(probabilities, expected.after.probabilities) < 1e-9);
    });

  test(`20 steps as in PyTorch: ${name}`, async () => {
    const { parameters, data } = drawn(expected);
    const secondMoments = expected.optimiser.kind !== 'sgd';
    const engine = await openEngine(network, { threads: 2, batchSize: images, secondMoments });
    engine.load(parameters);
    const probabilities = engine.probabilities(data[0]!.images);
    assert.ok(relativeDistance(probabilities, expected.probabilities) < 1e-5);

    engine.step(data[0]!, { ...options, learningRate: 0, optimiser: sgd() });
    const velocity = engine.velocity();
    for (const [parameter, gradient] of Object.entries(expected.gradients)) {
      const distance = distanceTo(gradient, velocity.get(parameter)!.data);
      assert.ok(distance < 1e-4, `gradient of ${parameter} is off by ${distance}`);
    }

    engine.load(parameters);
    const { optimiser, learningRate } = expected;
    for (const [step, expectedLoss] of expected.losses.entries()) {
      const { loss } = engine.step(data[step % batches]!, { ...options, learningRate, optimiser });
      const tolerance = step === 0 ? 1e-5 : 1e-3;
      assert.ok(Math.abs(loss / expectedLoss - 1) < tolerance, `step ${step}: loss ${loss}, expected ${expectedLoss}`);
    }
    for (const [parameter, { data: values }] of engine.parameters()) {
      const distance = distanceTo(expected.after.parameters[parameter]!, values);
      assert.ok(distance < 1e-4, `${parameter} is off by ${distance} after the steps`);
    }
    assert.ok(relativeDistance(engine.probabilities(data[0]!.images), expected.after.probabilities) < 1e-3);
    await engine.close();
  });
}
