/** @file Holds the oracle itself to finite differences, and the engine to the oracle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEngine } from './engine.ts';
import { pneumoniaNetwork } from './network.ts';
import { sgd } from './optimiser.ts';
import { referenceStep, toDoubles } from './reference.ts';
import { drawnCase, dropoutMask, lcg, relativeDistance } from './testing.ts';

test('the reference gradient is the slope of the reference loss', () => {
  const network = pneumoniaNetwork({ imageSize: 8, channels: [8, 16], hidden: 32 });
  const { parameters, batch } = drawnCase(network, 2, 5);
  const doubles = toDoubles(parameters);
  const mask = dropoutMask(network, [1, 2]);
  const { gradients } = referenceStep(network, doubles, batch, mask);
  const uniform = lcg(9);
  for (const [name, gradient] of gradients) {
    for (let draw = 0; draw < 6; draw++) {
      const at = Math.floor(uniform() * gradient.length);
      const lossAt = (shift: number): number => {
        const moved = new Map(doubles);
        moved.set(name, doubles.get(name)!.with(at, doubles.get(name)![at]! + shift));
        return referenceStep(network, moved, batch, mask).loss;
      };
      const step = 1e-6;
      const slope = (lossAt(step) - lossAt(-step)) / (2 * step);
      assert.ok(Math.abs(slope - gradient[at]!) < 1e-7 + 1e-6 * Math.abs(slope), `${name}[${at}]: ${slope}`);
    }
  }
});

for (const [title, options, images] of [
  ['40x40, unequal widths', { imageSize: 40, channels: [8, 24, 16], hidden: 32 }, 3],
  ['24x24, wide', { imageSize: 24, channels: [16, 40, 64], hidden: 96 }, 2],
  ['8x8, one block', { imageSize: 8, channels: [8], hidden: 32 }, 5],
  ['16x16, four blocks', { imageSize: 16, channels: [8, 8, 16, 32], hidden: 64 }, 4],
] as const) {
  for (const relaxedSimd of [true, false]) {
    for (const dropout of [0, 0.3]) {
      test(`engine and reference agree: ${title}, ${relaxedSimd ? 'relaxed' : 'plain'} SIMD, dropout ${dropout}`, async () => {
        const network = pneumoniaNetwork({ ...options, channels: [...options.channels], dropout });
        const { parameters, batch } = drawnCase(network, images, 21);
        const key = [0x1234_5678, 0x9abc_def0] as const;
        const expected = referenceStep(network, toDoubles(parameters), batch, dropoutMask(network, key));
        const engine = await openEngine(network, { threads: 1, batchSize: images + 1, relaxedSimd });
        engine.load(parameters);
        const { loss } = engine.step(batch, { learningRate: 0.01, optimiser: sgd(), dropoutKey: key });
        assert.ok(Math.abs(loss / expected.loss - 1) < 1e-5, `loss ${loss}, expected ${expected.loss}`);
        const gradients = engine.velocity();
        for (const [name, gradient] of expected.gradients) {
          const distance = relativeDistance(gradients.get(name)!.data, gradient);
          assert.ok(distance < 1e-5, `gradient of ${name} is off by ${distance}`);
        }
        await engine.close();
      });
    }
  }
}
