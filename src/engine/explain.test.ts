/** @file Holds class activation maps to finite differences, to the engine's own probabilities, and to an opacity whose place is known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng } from '../base/index.ts';
import { openEngine } from './engine.ts';
import { classActivationMaps } from './explain.ts';
import { elements } from './graph.ts';
import { initialParameters } from './initial.ts';
import { type Network, NORMALISATION, networkSchema, pneumoniaNetwork } from './network.ts';
import { resnet18, smallNetwork } from './networks.ts';
import { sgd } from './optimiser.ts';
import { tailOf } from './tail.ts';
import { drawnCase, lcg } from './testing.ts';

const stem = { op: 'conv2d', name: 'stem', out_channels: 8, kernel_size: 3, stride: 2 };
const head = { op: 'linear', name: 'fc', out_features: 2 };
const network = (layers: unknown[]): Network =>
  networkSchema.parse({ imageSize: 8, classes: 2, normalisation: NORMALISATION, layers: [stem, ...layers, head] });

const tails: [title: string, network: Network][] = [
  ['hidden layer', pneumoniaNetwork({ imageSize: 16, channels: [8, 16], hidden: 32 })],
  ['mean over the image', smallNetwork({ imageSize: 16, channels: [8, 8] })],
  ['ResNet-18', resnet18({ imageSize: 64, width: 8 })],
  [
    'grouped convolution over the image, norms, gelu, residual',
    network([
      { op: 'conv2d', name: 'last', out_channels: 12, kernel_size: [5, 3], padding: [1, 0], groups: 4, bias: false },
      { op: 'batch_norm2d', name: 'norm' },
      { op: 'gelu' },
      {
        op: 'residual',
        body: [{ op: 'group_norm', name: 'groups', num_groups: 3 }, { op: 'relu' }, { op: 'dropout', p: 0.5 }],
      },
    ]),
  ],
  ['largest of each channel', network([{ op: 'max_pool2d', kernel_size: 3 }])],
  ['mean with padding', network([{ op: 'avg_pool2d', kernel_size: [5, 4], stride: 3, padding: [1, 1] }])],
  [
    'two ways out of the map',
    network([
      {
        op: 'residual',
        body: [{ op: 'linear', name: 'a', out_features: 8 }, { op: 'gelu' }],
        shortcut: [{ op: 'global_avg_pool' }],
      },
    ]),
  ],
];

for (const [title, network] of tails) {
  test(`the gradient of the feature map is the slope of the log odds: ${title}`, () => {
    const uniform = lcg(3);
    const { parameters } = drawnCase(network, 1, 7);
    const tail = tailOf(network, parameters);
    const features = Float64Array.from({ length: elements(tail.shape) }, () => uniform() * 2 - 0.7);
    const { gradient } = tail.logOdds(features);
    assert.ok(gradient.some((value) => value !== 0));
    const step = 1e-6;
    for (const at of features.keys()) {
      const moved = (shift: number): number => tail.logOdds(features.with(at, features[at]! + shift)).value;
      const slope = (moved(step) - moved(-step)) / (2 * step);
      assert.ok(Math.abs(slope - gradient[at]!) < 1e-8 + 1e-6 * Math.abs(slope), `${at}: ${slope}, ${gradient[at]}`);
    }
  });
}

for (const [title, network] of tails) {
  test(`the tail gives the engine's probability, the map is gradient times feature map: ${title}`, async () => {
    const { parameters, batch } = drawnCase(network, 5, 11);
    const engine = await openEngine(network, { threads: 1, batchSize: 2 });
    engine.load(parameters);
    const { shape, data } = engine.features(batch.images);
    const maps = classActivationMaps(network, parameters, { shape, data }, 'hires-cam');
    const tail = tailOf(network, parameters);
    assert.deepEqual(shape, tail.shape);
    const [all, channels, pixels] = [elements(shape), shape.channels, shape.height * shape.width];
    assert.deepEqual([data.length, maps.length], [5 * all, 5 * pixels]);
    for (const [image, probability] of engine.probabilities(batch.images).entries()) {
      const own = data.subarray(image * all, (image + 1) * all);
      const features = Float64Array.from(own, (_, e) => own[(e % pixels) * channels + Math.floor(e / pixels)]!);
      const { value, gradient } = tail.logOdds(features);
      assert.ok(Math.abs(1 / (1 + Math.exp(-value)) - probability) < 1e-5, `${value}, ${probability}`);
      for (let at = 0; at < pixels; at++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += gradient[c * pixels + at]! * own[at * channels + c]!;
        assert.ok(Math.abs(Math.max(0, sum) - maps[image * pixels + at]!) < 1e-5 * (1 + Math.abs(sum)));
      }
    }
    await engine.close();
  });
}

test('without biases in the tail, the gradient times the feature map adds up to the log odds', () => {
  const network = pneumoniaNetwork({ imageSize: 16, channels: [8], hidden: 32 });
  const { parameters } = drawnCase(network, 1, 5);
  for (const name of ['fc1.bias', 'fc2.bias']) parameters.get(name)!.data.fill(0);
  const uniform = lcg(8);
  const features = Float64Array.from({ length: 8 * 64 }, () => Math.max(0, uniform() - 0.4));
  const { value, gradient } = tailOf(network, parameters).logOdds(features);
  const sum = gradient.reduce((total, g, e) => total + g * features[e]!, 0);
  assert.ok(Math.abs(sum - value) < 1e-12 && value !== 0);
});

test('a network whose feature map cannot be told is refused in one line', async () => {
  const parameters = new Map();
  const linearOnly = networkSchema.parse({ imageSize: 8, classes: 2, normalisation: NORMALISATION, layers: [head] });
  assert.throws(() => tailOf(linearOnly, parameters), /it has no feature map/);
  const around = network([
    {
      op: 'residual',
      body: [{ op: 'conv2d', name: 'in', out_channels: 8, kernel_size: 2 }, { op: 'global_avg_pool' }],
      shortcut: [{ op: 'global_avg_pool' }],
    },
  ]);
  assert.throws(() => tailOf(around, parameters), /layers\[1\]\.shortcut\[0\]: it also reads what lies before/);
  const fused = pneumoniaNetwork({ imageSize: 8, channels: [8, 8, 8], hidden: 32 });
  const engine = await openEngine(fused, { threads: 1, batchSize: 1 });
  assert.throws(() => engine.features(new Uint8Array(64)), /its last feature map is not kept/);
  await engine.close();
});

for (const [title, network, steps] of [
  ['hidden layer', pneumoniaNetwork({ imageSize: 32, channels: [8, 16], hidden: 32, dropout: 0 }), 120],
  ['mean over the image', smallNetwork({ imageSize: 32, channels: [8, 16], dropout: 0 }), 200],
] as const) {
  test(`after a short training the map is brightest at the opacity: ${title}`, async () => {
    const size = 32;
    const rng = openRng(4, 'opacities');
    /** Noise; with a soft bright disc at (x, y) where there is one. */
    const draw = (disc?: { readonly x: number; readonly y: number }): Uint8Array =>
      Uint8Array.from({ length: size * size }, (_, at) => {
        const away = disc ? Math.hypot((at % size) - disc.x, Math.floor(at / size) - disc.y) : 99;
        return Math.min(255, Math.max(0, 90 + 25 * rng.normal() + 110 * Math.exp(-((away / 4) ** 2))));
      });
    const place = (): number => 5 + rng.integer(size - 10);
    const engine = await openEngine(network, { threads: 1, batchSize: 16 });
    engine.load(initialParameters(network, 1));
    for (let step = 0; step < steps; step++) {
      const labels = Uint8Array.from({ length: 16 }, (_, image) => image % 2);
      const images = [...labels].map((label) => draw(label === 1 ? { x: place(), y: place() } : undefined));
      engine.step({ images: new Uint8Array(Buffer.concat(images)), labels }, { learningRate: 0.02, optimiser: sgd() });
    }
    const discs = Array.from({ length: 12 }, () => ({ x: place(), y: place() }));
    const images = new Uint8Array(Buffer.concat(discs.map(draw)));
    const probabilities = engine.probabilities(images);
    assert.ok(
      probabilities.every((p) => p > 0.9),
      `not trained: ${probabilities}`,
    );
    const features = engine.features(images);
    const maps = classActivationMaps(network, engine.parameters(), features, 'grad-cam');
    const { height, width } = features.shape;
    for (const [image, { x, y }] of discs.entries()) {
      const map = maps.subarray(image * height * width, (image + 1) * height * width);
      const brightest = map.indexOf(Math.max(...map));
      const [cellX, cellY] = [brightest % width, Math.floor(brightest / width)].map(
        (at) => (at + 0.5) * (size / width),
      );
      const away = Math.hypot(cellX! - x, cellY! - y);
      assert.ok(away <= 6, `disc at ${x}, ${y}; brightest at ${cellX}, ${cellY}`);
    }
    await engine.close();
  });
}

test('Grad-CAM weighs a channel by the mean of its gradient; behind the mean over the image both methods agree', () => {
  const uniform = lcg(5);
  for (const [title, network] of tails.slice(0, 2)) {
    const { parameters } = drawnCase(network, 1, 7);
    const { shape, logOdds } = tailOf(network, parameters);
    const [pixels, { channels }] = [shape.height * shape.width, shape];
    const features = Float64Array.from({ length: elements(shape) }, () => Math.fround(uniform() * 2 - 0.7));
    const { gradient } = logOdds(features);
    const data = Float32Array.from(features, (_, e) => features[(e % channels) * pixels + Math.floor(e / channels)]!);
    const [grad, hires] = (['grad-cam', 'hires-cam'] as const).map((method) =>
      classActivationMaps(network, parameters, { shape, data }, method),
    ) as [Float32Array, Float32Array];
    for (let at = 0; at < pixels; at++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) {
        const channel = gradient.subarray(c * pixels, (c + 1) * pixels);
        sum += (channel.reduce((a, b) => a + b, 0) / pixels) * features[c * pixels + at]!;
      }
      assert.ok(Math.abs(grad[at]! - Math.max(0, sum)) < 1e-6, title);
    }
    const alike = grad.every((value, at) => Math.abs(value - hires[at]!) < 1e-6);
    assert.equal(alike, title === 'mean over the image');
  }
});
