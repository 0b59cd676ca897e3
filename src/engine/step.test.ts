/** @file Holds the step to PyTorch (fixtures/steps.json, made by fixtures/make.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { openEngine } from './engine.ts';
import { pneumoniaNetwork } from './network.ts';
import { sgd } from './optimiser.ts';
import { drawnImages, drawnLabels, drawnParameters, lcg, relativeDistance } from './testing.ts';

const numbers = z.array(z.number());
const fixtures = z.object({
  cases: z.array(
    z.object({
      name: z.string(),
      imageSize: z.number(),
      channels: numbers,
      hidden: z.number(),
      images: z.number(),
      batches: z.number(),
      losses: numbers,
      probabilities: numbers,
      gradients: z.record(z.string(), z.object({ norm: z.number(), projections: numbers, head: numbers })),
    }),
  ),
});
const { cases } = fixtures.parse(JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures/steps.json'), 'utf8')));

for (const { name, imageSize, channels, hidden, images, batches, ...expected } of cases) {
  test(`20 steps as in PyTorch: ${name}`, async () => {
    const network = pneumoniaNetwork({ imageSize, channels, hidden, dropout: 0 });
    const uniform = lcg(name.length * 7919 + imageSize);
    const parameters = drawnParameters(network, uniform);
    const pixels = Array.from({ length: batches }, () => drawnImages(images, imageSize, uniform));
    const data = pixels.map((batch) => ({ images: batch, labels: drawnLabels(images, uniform) }));
    const engine = await openEngine(network, { threads: 2, batchSize: images });
    engine.load(parameters);
    const probabilities = engine.probabilities(data[0]!.images);
    assert.ok(relativeDistance(probabilities, expected.probabilities) < 1e-5);

    for (const [step, expectedLoss] of expected.losses.entries()) {
      const { loss } = engine.step(data[step % batches]!, { learningRate: 0.01, optimiser: sgd() });
      const tolerance = step === 0 ? 1e-5 : 1e-3;
      assert.ok(Math.abs(loss / expectedLoss - 1) < tolerance, `step ${step}: loss ${loss}, expected ${expectedLoss}`);
      if (step > 0) continue;
      for (const [parameter, { data: gradient }] of engine.velocity()) {
        const { norm, projections, head } = expected.gradients[parameter]!;
        const direction = lcg(17);
        // E (error . u)^2 = |error|^2 / 3 for u drawn from U(-1, 1)^n: the projections estimate the distance of the whole.
        const errors = projections.map((p) => p - gradient.reduce((sum, g) => sum + g * (direction() * 2 - 1), 0));
        const distance = Math.sqrt((3 * errors.reduce((sum, e) => sum + e * e, 0)) / errors.length) / norm;
        assert.ok(distance < 1e-4, `gradient of ${parameter} is off by ${distance}`);
        assert.ok(relativeDistance(gradient.subarray(0, head.length), head) < 1e-4, parameter);
      }
    }
    await engine.close();
  });
}
