/** @file Holds the oracle itself to finite differences, and the engine to the oracle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBuffer } from '../base/index.ts';
import { openEngine } from './engine.ts';
import { flatten } from './graph.ts';
import { NORMALISATION, networkSchema, parameterShapes, pneumoniaNetwork } from './network.ts';
import { resnet18 } from './networks.ts';
import { sgd } from './optimiser.ts';
import { referenceStep, toDoubles } from './reference.ts';
import { drawnCase, dropoutMask, lcg, relativeDistance } from './testing.ts';

const conv = { op: 'conv2d', kernel_size: 3, padding: 1 };
const nested = networkSchema.parse({
  imageSize: 8,
  classes: 2,
  normalisation: NORMALISATION,
  layers: [
    { ...conv, name: 'stem', out_channels: 4, kernel_size: [3, 5], stride: [1, 2] },
    { op: 'batch_norm2d', name: 'stem_norm', momentum: 0.2 },
    {
      op: 'residual',
      body: [
        { ...conv, name: 'a.1', out_channels: 6, stride: 2 },
        { op: 'gelu' },
        { op: 'residual', body: [{ ...conv, name: 'a.2', out_channels: 6, groups: 6, bias: false }, { op: 'relu' }] },
        { op: 'dropout', p: 0.3 },
      ],
      shortcut: [
        { op: 'avg_pool2d', kernel_size: 3, stride: 2, padding: 1 },
        { ...conv, name: 'b', out_channels: 6, kernel_size: 1, padding: 0, groups: 2 },
        { op: 'group_norm', name: 'b_norm', num_groups: 3 },
      ],
    },
    { op: 'max_pool2d', kernel_size: 2, stride: 1 },
    { op: 'dropout', p: 0.5 },
    { op: 'linear', name: 'fc', out_features: 2, bias: false },
  ],
});

for (const [title, network, training] of [
  ['fused form', pneumoniaNetwork({ imageSize: 8, channels: [8, 16], hidden: 32 }), true],
  ['nested residuals', nested, true],
  ['nested residuals in evaluation', nested, false],
  ['ResNet-18', resnet18({ imageSize: 16, width: 8 }), true],
] as const) {
  test(`the reference gradient is the slope of the reference loss: ${title}`, () => {
    const { parameters, batch } = drawnCase(network, 3, 5);
    const doubles = toDoubles(parameters);
    const options = { mask: dropoutMask(network, [1, 2]), classWeights: [0.6, 1.7], training };
    const { gradients, buffers } = referenceStep(network, doubles, batch, options);
    const names = [...parameterShapes(network).keys()];
    assert.deepEqual(
      [...gradients.keys()],
      names.filter((name) => !isBuffer(name)),
    );
    assert.deepEqual([...buffers.keys()], training ? names.filter(isBuffer) : []);
    const uniform = lcg(9);
    // Of a ResNet's many parameters, some: a weight of a convolution, then the bias of a norm, then its weight, and so on.
    const large = gradients.size > 20;
    const chosen = [...gradients].filter((_, index) => !large || index % 5 === 0);
    for (const [name, gradient] of chosen) {
      for (let draw = 0; draw < (large ? 2 : 6); draw++) {
        const at = Math.floor(uniform() * gradient.length);
        const lossAt = (shift: number): number => {
          const moved = new Map(doubles);
          moved.set(name, doubles.get(name)!.with(at, doubles.get(name)![at]! + shift));
          return referenceStep(network, moved, batch, options).loss;
        };
        const step = 1e-6;
        const slope = (lossAt(step) - lossAt(-step)) / (2 * step);
        assert.ok(Math.abs(slope - gradient[at]!) < 1e-7 + 1e-6 * Math.abs(slope), `${name}[${at}]: ${slope}`);
      }
    }
  });
}

test('dropout masks: each dropout node draws its own, keeps its share, and none falls without one', () => {
  const mask = dropoutMask(nested, [1, 2]);
  const dropouts = [...flatten(nested.layers, 8).nodes.entries()].filter(([, { layer }]) => layer.op === 'dropout');
  const [first, last] = dropouts.map(([node]) => node) as [number, number];
  const draw = (node: number): number[] =>
    Array.from({ length: 400 }, (_, e) => mask(e >> 3, node, e & 3, (e >> 2) & 1, 0));
  const dropped = (node: number): number => draw(node).filter((factor) => factor === 0).length / 400;
  assert.ok(Math.abs(dropped(first) - 0.3) < 0.07, `${dropped(first)}`);
  assert.ok(Math.abs(dropped(last) - 0.5) < 0.08, `${dropped(last)}`);
  assert.ok(draw(first).every((factor) => factor === 0 || Math.abs(factor - 1 / 0.7) < 1e-4));
  assert.ok(draw(0).every((factor) => factor === 1));
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
        const expected = referenceStep(network, toDoubles(parameters), batch, { mask: dropoutMask(network, key) });
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
