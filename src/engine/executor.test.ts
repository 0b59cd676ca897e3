/** @file Holds the engine to the oracle on networks of every layer: all kernels, dropout, batches of one; and to the same bits on any threads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ParameterSet } from '../base/index.ts';
import { type EngineOptions, openEngine } from './engine.ts';
import { type Network, NORMALISATION, networkSchema, pneumoniaNetwork } from './network.ts';
import { resnet18, smallNetwork } from './networks.ts';
import { sgd } from './optimiser.ts';
import { referenceStep, toDoubles } from './reference.ts';
import { drawnCase, dropoutMask, relativeDistance } from './testing.ts';

const network = (imageSize: number, layers: unknown[]): Network =>
  networkSchema.parse({ imageSize, classes: 2, normalisation: NORMALISATION, layers });
const conv = (name: string, outputs: number, kernel: unknown, more: object = {}) => ({
  ...{ op: 'conv2d', name, out_channels: outputs, kernel_size: kernel, ...more },
});
const head = { op: 'linear', name: 'fc', out_features: 2 };

const NETWORKS: Readonly<Record<string, Network>> = {
  'strides, odd channels, groups': network(24, [
    conv('a', 10, [3, 5], { stride: [2, 1], padding: [1, 0] }),
    { op: 'relu' },
    conv('b', 12, 3, { groups: 2, padding: 2, stride: 3 }),
    { op: 'gelu' },
    { op: 'dropout', p: 0.3 },
    conv('c', 9, [1, 4], { groups: 3, bias: false }),
    { op: 'relu' },
    { op: 'linear', name: 'hidden', out_features: 21 },
    { op: 'relu' },
    { op: 'dropout', p: 0.4 },
    head,
  ]),
  'depthwise, norms, residuals': network(16, [
    conv('stem', 12, 5, { stride: 2, padding: 2, bias: false }),
    { op: 'batch_norm2d', name: 'bn' },
    { op: 'gelu' },
    {
      op: 'residual',
      body: [
        { op: 'dropout', p: 0.2 },
        conv('depth', 12, 3, { groups: 12, padding: 1, stride: 2 }),
        { op: 'group_norm', name: 'gn', num_groups: 3 },
        { op: 'relu' },
        conv('point', 20, 1),
      ],
      shortcut: [{ op: 'avg_pool2d', kernel_size: 2 }, conv('short', 20, 1, { bias: false })],
    },
    { op: 'residual', body: [{ op: 'relu' }, conv('last', 20, 3, { padding: 1 })] },
    { op: 'max_pool2d', kernel_size: 3, stride: 1, padding: 1 },
    { op: 'global_avg_pool' },
    head,
  ]),
  'pools only': network(16, [
    { op: 'max_pool2d', kernel_size: [2, 3], stride: [2, 1] },
    { op: 'avg_pool2d', kernel_size: [3, 2], padding: 1 },
    { op: 'batch_norm2d', name: 'bn' },
    head,
  ]),
  'one linear layer': network(8, [head]),
  'blocks, then anything': network(32, [
    ...pneumoniaNetwork({ imageSize: 32, channels: [8, 16] }).layers.slice(0, 7),
    conv('next', 20, 3, { padding: 1, stride: 2 }),
    { op: 'relu' },
    { op: 'global_avg_pool' },
    head,
  ]),
  'blocks read twice': network(16, [
    ...pneumoniaNetwork({ imageSize: 16, channels: [8, 16], dropout: 0 }).layers.slice(0, 6),
    { op: 'residual', body: [conv('next', 16, 3, { padding: 1 }), { op: 'relu' }] },
    head,
  ]),
  'odd sizes by Winograd': network(16, [
    conv('stem', 8, [2, 4]),
    { op: 'relu' },
    conv('wide', 16, 3, { padding: 1 }),
    { op: 'residual', body: [{ op: 'relu' }, conv('same', 16, 3, { padding: 1, bias: false })] },
    { op: 'relu' },
    conv('padded', 8, 3, { padding: 1 }),
    conv('far', 8, 5, { padding: 4 }),
    head,
  ]),
  'small, with a mean over the image': smallNetwork({ imageSize: 32, channels: [8, 16, 16, 32] }),
  'ResNet-18': resnet18({ imageSize: 32, width: 8 }),
};

const KERNELS: Readonly<Record<string, Partial<EngineOptions>>> = {
  'relaxed SIMD': {},
  'plain SIMD': { relaxedSimd: false },
  'memory that is not shared': { relaxedSimd: false, sharedMemory: false },
};
const KEY = [0x1234_5678, 0x9abc_def0] as const;

for (const [title, net] of Object.entries(NETWORKS)) {
  for (const [kernels, options] of Object.entries(KERNELS)) {
    test(`engine and oracle agree: ${title}, ${kernels}`, async () => {
      const engine = await openEngine(net, { threads: 2, batchSize: 5, ...options });
      assert.equal(engine.kernels.threads, options.sharedMemory === false ? 1 : 2);
      // A batch norm needs more than one value a channel.
      for (const images of [5, title === 'pools only' ? 2 : 1]) {
        const { parameters, batch } = drawnCase(net, images, 21);
        const expected = referenceStep(net, toDoubles(parameters), batch, { mask: dropoutMask(net, KEY) });
        engine.load(parameters);
        const { loss } = engine.step(batch, { learningRate: 0.01, optimiser: sgd(), dropoutKey: KEY });
        assert.ok(Math.abs(loss / expected.loss - 1) < 1e-5, `loss ${loss}, expected ${expected.loss}`);
        const gradients = engine.velocity();
        for (const [name, gradient] of expected.gradients) {
          const distance = relativeDistance(gradients.get(name)!.data, gradient);
          assert.ok(distance < 1e-5, `${images} images: gradient of ${name} is off by ${distance}`);
        }
        for (const [name, buffer] of expected.buffers)
          assert.ok(relativeDistance(engine.parameters().get(name)!.data, buffer) < 1e-5, name);
        engine.load(parameters);
        const { probabilities } = referenceStep(net, toDoubles(parameters), batch, { training: false });
        assert.ok(relativeDistance(engine.probabilities(batch.images), probabilities) < 1e-5);
      }
      await engine.close();
    });
  }

  test(`1 to 4 threads, and memory that is not shared, give the same bits: ${title}`, async () => {
    const { parameters, batch } = drawnCase(net, 9, 3);
    const results: unknown[] = [];
    for (const [threads, sharedMemory] of [
      [1, true],
      [2, true],
      [3, true],
      [4, true],
      [1, false],
    ] as const) {
      const engine = await openEngine(net, { threads, batchSize: 9, sharedMemory });
      engine.load(parameters);
      engine.setAnchor();
      const losses = [0, 0.1, 0.1].map(
        (proximalMu) => engine.step(batch, { learningRate: 0.02, optimiser: sgd(), dropoutKey: KEY, proximalMu }).loss,
      );
      results.push({ losses, probabilities: [...engine.probabilities(batch.images)], bits: bits(engine.parameters()) });
      await engine.close();
    }
    for (const result of results.slice(1)) assert.ok(JSON.stringify(result) === JSON.stringify(results[0]));
  });
}

const bits = (parameters: ParameterSet): string[] =>
  [...parameters].map(([name, { data }]) => `${name} ${Buffer.from(data.buffer).toString('base64')}`);

test('what is not a number shows: behind a max-pool and ReLU, and as a probability', async () => {
  const net = network(8, [conv('a', 4, 3), { op: 'max_pool2d', kernel_size: 2, stride: 1 }, { op: 'relu' }, head]);
  const { parameters, batch } = drawnCase(net, 2, 4);
  const engine = await openEngine(net, { threads: 1, batchSize: 2 });
  // Products beyond single precision, of both signs: infinity less infinity.
  engine.load(
    new Map(
      [...parameters].map(([name, { shape, data }]) => [
        name,
        { shape, data: data.map((_, i) => (i % 2 ? 3e38 : -3e38)) },
      ]),
    ),
  );
  assert.ok(Number.isNaN(engine.step(batch, { learningRate: 0.1, optimiser: sgd() }).loss));
  assert.throws(() => engine.probabilities(batch.images), /model: what it gives for an image is not a number/);
  await engine.close();
});
