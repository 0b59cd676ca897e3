import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import type { z } from 'zod';
import { type ParameterSet, sha256 } from '../base/index.ts';
import { openEngine } from './engine.ts';
import { initialParameters } from './initial.ts';
import { networkSchema, parameterShapes, pneumoniaNetwork } from './network.ts';
import { resnet18, smallNetwork } from './networks.ts';
import { scheduleSchema, sgd } from './optimiser.ts';
import { drawnCase } from './testing.ts';
import { evaluate, train } from './train.ts';

const network = pneumoniaNetwork({ imageSize: 24, channels: [8, 16, 32], hidden: 64 });
const options = { learningRate: 0.02, optimiser: sgd(), dropoutKey: [3, 4] } as const;

const bits = (parameters: ParameterSet): string[] =>
  [...parameters].map(([name, { data }]) => `${name} ${Buffer.from(data.buffer).toString('base64')}`);

for (const relaxedSimd of [true, false]) {
  test(`1, 2, 3 and 4 threads give the same bits (${relaxedSimd ? 'relaxed' : 'plain'} SIMD)`, async () => {
    const { parameters, batch } = drawnCase(network, 7, 3);
    const results: unknown[] = [];
    for (const threads of [1, 2, 3, 4]) {
      const engine = await openEngine(network, { threads, batchSize: 7, relaxedSimd });
      assert.equal(engine.kernels.threads, threads);
      engine.load(parameters);
      engine.setAnchor();
      const losses = [0, 0.1, 0.1].map((proximalMu) => engine.step(batch, { ...options, proximalMu }).loss);
      const probabilities = [...engine.probabilities(batch.images)];
      results.push({ losses, probabilities, parameters: bits(engine.parameters()), velocity: bits(engine.velocity()) });
      await engine.close();
    }
    for (const result of results.slice(1)) assert.deepEqual(result, results[0]);
  });
}

test('parameters come back as they were loaded, and are a copy', async () => {
  const engine = await openEngine(network, { threads: 1, batchSize: 2 });
  const parameters = initialParameters(network, 1);
  engine.load(parameters);
  const copy = engine.parameters();
  assert.deepEqual([...copy], [...parameters]);
  copy.get('fc1.weight')!.data.fill(0);
  assert.deepEqual([...engine.parameters()], [...parameters]);
  await engine.close();
});

test('loading forgets the velocity: the same training twice gives the same bits', async () => {
  const engine = await openEngine(network, { threads: 2, batchSize: 4 });
  const { parameters, batch } = drawnCase(network, 10, 8);
  const run = async (stream: string) => {
    engine.load(parameters);
    const { epochs } = await train(engine, batch, {
      epochs: 2,
      batchSize: 4,
      learningRate: 0.01,
      seed: 1,
      stream: [stream, 0],
    });
    return { epochs, parameters: bits(engine.parameters()) };
  };
  const first = await run('silo0');
  assert.notDeepEqual(await run('silo1'), first);
  assert.deepEqual(await run('silo0'), first);
  await engine.close();
});

test('training learns, reports every batch, and uses the short last one', async () => {
  const engine = await openEngine(network, { threads: 2, batchSize: 8 });
  const { batch } = drawnCase(network, 20, 13);
  const bright = batch.images.map((value, at) => (batch.labels[Math.floor(at / 576)] === 1 ? 255 - value : value));
  const data = { images: bright, labels: batch.labels };
  engine.load(initialParameters(network, 2));
  const before = await evaluate(engine, data);
  const seen: string[] = [];
  const { epochs } = await train(
    engine,
    data,
    { epochs: 12, batchSize: 8, learningRate: 0.02, seed: 5, stream: ['silo0', 1] },
    ({ epoch, batch, batches }) => seen.push(`${epoch}:${batch}/${batches}`),
  );
  assert.deepEqual(seen.slice(0, 4), ['0:0/3', '0:1/3', '0:2/3', '1:0/3']);
  assert.equal(seen.length, 36);
  const after = await evaluate(engine, data);
  assert.ok(after.loss < before.loss / 4, `${before.loss} -> ${after.loss}`);
  assert.equal(epochs.at(-1)!.accuracy, 1);
  const correct = after.probabilities.filter((p, i) => p > 0.5 === (data.labels[i] === 1)).length;
  assert.equal(correct, 20);
  await engine.close();
});

test('a training cut into iterations follows one schedule: its rates are those of the whole', async () => {
  const engine = await openEngine(network, { threads: 1, batchSize: 4 });
  const { parameters, batch } = drawnCase(network, 7, 8);
  const trained = async (schedule: z.input<typeof scheduleSchema>, learningRate: number, firstEpoch = 0) => {
    engine.load(parameters);
    await train(engine, batch, {
      ...{ epochs: 1, batchSize: 4, learningRate, optimiser: sgd(), seed: 1, stream: [] },
      ...{ schedule: scheduleSchema.parse(schedule), firstEpoch, totalEpochs: 5 },
    });
    return bits(engine.parameters());
  };
  const halved = { kind: 'step', step_size: 1, gamma: 0.5 } as const;
  assert.deepEqual(await trained(halved, 0.02, 2), await trained({ kind: 'constant' }, 0.005));
  const cosine = { kind: 'cosine', warmup_epochs: 1 } as const;
  const iterations = [await trained(cosine, 0.02, 1), await trained(cosine, 0.02, 2), await trained(cosine, 0.02, 1)];
  assert.notDeepEqual(iterations[1], iterations[0]);
  assert.deepEqual(iterations[2], iterations[0]);
  await engine.close();
});

test('FedProx pulls towards where training began', async () => {
  const { parameters, batch } = drawnCase(network, 6, 4);
  const engine = await openEngine(network, { threads: 1, batchSize: 6 });
  const distance = async (proximalMu: number) => {
    engine.load(parameters);
    await train(engine, batch, {
      epochs: 8,
      batchSize: 6,
      learningRate: 0.01,
      optimiser: sgd(0),
      seed: 1,
      stream: [],
      proximalMu,
    });
    let sum = 0;
    for (const [name, { data }] of engine.parameters()) {
      for (const [i, value] of data.entries()) sum += (value - parameters.get(name)!.data[i]!) ** 2;
    }
    return Math.sqrt(sum);
  };
  const [free, weak, strong] = [await distance(0), await distance(0.3), await distance(10)];
  assert.ok(strong < weak && weak < free, `${strong} < ${weak} < ${free}`);
  await engine.close();
});

test('one step with mu: the gradient gains mu (w - anchor), exactly', async () => {
  const { parameters, batch } = drawnCase(network, 3, 6);
  const engine = await openEngine(network, { threads: 1, batchSize: 3 });
  const velocityAfter = (proximalMu: number) => {
    engine.load(parameters);
    engine.setAnchor();
    engine.step(batch, { learningRate: 0.05, optimiser: sgd(0) });
    const moved = engine.parameters();
    engine.step(batch, { learningRate: 0.05, optimiser: sgd(0), proximalMu });
    return { moved, velocity: engine.velocity() };
  };
  const [plain, pulled] = [velocityAfter(0), velocityAfter(0.3)];
  for (const [name, { data }] of pulled.velocity) {
    for (const [i, value] of data.entries()) {
      const pull = 0.3 * (plain.moved.get(name)!.data[i]! - parameters.get(name)!.data[i]!);
      const expected = plain.velocity.get(name)!.data[i]! + pull;
      assert.ok(Math.abs(value - expected) < 1e-6 + 1e-5 * Math.abs(expected), `${name}[${i}]`);
    }
  }
  await engine.close();
});

test('probabilities do not depend on how images are batched', async () => {
  const { parameters, batch } = drawnCase(network, 7, 2);
  const results: number[][] = [];
  for (const batchSize of [1, 3, 7, 16]) {
    const engine = await openEngine(network, { threads: 2, batchSize });
    engine.load(parameters);
    results.push([...engine.probabilities(batch.images)]);
    await engine.close();
  }
  for (const result of results) assert.deepEqual(result, results[0]);
});

test('an engine without training gives the same bits out of less memory, and refuses to train', async () => {
  for (const each of [
    network,
    pneumoniaNetwork({ imageSize: 24, channels: [8], hidden: 32 }),
    smallNetwork({ imageSize: 32, channels: [8, 8, 16, 16] }),
    resnet18({ imageSize: 32, width: 8 }),
  ]) {
    const { parameters, batch } = drawnCase(each, 7, 2);
    const open = async (training: boolean, threads: number) => {
      const engine = await openEngine(each, { threads, batchSize: 3, training });
      engine.load(parameters);
      const [probabilities, features] = [engine.probabilities(batch.images), engine.features(batch.images)];
      return { engine, seen: { probabilities, features, parameters: bits(engine.parameters()) } };
    };
    const { engine, seen } = await open(true, 1);
    for (const threads of [1, 2]) {
      const { engine: other, seen: same } = await open(false, threads);
      assert.deepEqual(same, seen);
      assert.ok(other.memoryBytes < engine.memoryBytes, `${other.memoryBytes} < ${engine.memoryBytes}`);
      for (const action of [() => other.step(batch, options), () => other.setAnchor(), () => other.velocity()])
        assert.throws(action, /opened with training: false/);
      await other.close();
    }
    await engine.close();
  }
});

test('initial parameters: PyTorch names and shapes, bounds by fan in, another seed another draw', () => {
  const seed = pneumoniaNetwork();
  assert.deepEqual(Object.fromEntries(parameterShapes(seed)), {
    'conv1.weight': [32, 1, 3, 3],
    'conv1.bias': [32],
    'conv2.weight': [64, 32, 3, 3],
    'conv2.bias': [64],
    'conv3.weight': [128, 64, 3, 3],
    'conv3.bias': [128],
    'fc1.weight': [256, 100352],
    'fc1.bias': [256],
    'fc2.weight': [2, 256],
    'fc2.bias': [2],
  });
  const parameters = initialParameters(network, 1);
  for (const [name, bound] of [
    ['conv1.bias', 1 / 3],
    ['conv3.weight', 1 / 12],
    ['fc1.weight', 1 / Math.sqrt(288)],
    ['fc2.bias', 1 / 8],
  ] as const) {
    const { data } = parameters.get(name)!;
    assert.ok(data.every((value) => Math.abs(value) <= bound));
    const meanSquare = data.reduce((sum, value) => sum + value * value, 0) / data.length;
    // The variance of U(-b, b) is b^2 / 3; the standard error of its estimate is below b^2 / sqrt(n).
    assert.ok(Math.abs(meanSquare - bound ** 2 / 3) < (3 * bound ** 2) / Math.sqrt(data.length), name);
  }
  assert.deepEqual(bits(initialParameters(network, 1)), bits(parameters));
  assert.notDeepEqual(bits(initialParameters(network, 2)), bits(parameters));
});

test('norms begin as PyTorch’s, and a layer without a bias as one with it', () => {
  const conv = { op: 'conv2d', name: 'conv', out_channels: 6, kernel_size: [3, 5] };
  const described = (bias: boolean) =>
    networkSchema.parse({
      ...{ imageSize: 8, classes: 2, normalisation: { mean: 0.5, std: 0.25 } },
      layers: [
        { ...conv, bias },
        { op: 'batch_norm2d', name: 'bn' },
        { op: 'group_norm', name: 'gn.bias', num_groups: 3 },
        { op: 'linear', name: 'fc', out_features: 2 },
      ],
    });
  const parameters = initialParameters(described(false), 3);
  for (const [name, value] of [
    ['bn.weight', 1],
    ['bn.bias', 0],
    ['bn.running_mean', 0],
    ['bn.running_var', 1],
    ['gn.bias.weight', 1],
    ['gn.bias.bias', 0],
  ] as const)
    assert.deepEqual([...parameters.get(name)!.data], Array(6).fill(value), name);
  const weight = parameters.get('conv.weight')!.data;
  assert.ok(weight.every((value) => Math.abs(value) < 1 / Math.sqrt(15) && value !== 0));
  assert.equal(parameters.has('conv.bias'), false);
  assert.deepEqual(initialParameters(described(true), 3).get('conv.weight')!.data, weight);
  // The same bits in every version, so that a seed names one model.
  assert.equal(sha256(bits(initialParameters(network, 1)).join()).slice(0, 16), 'e14df3683118b79d');
});

test('what does not fit is refused with its place', async () => {
  const engine = await openEngine(network, { threads: 1, batchSize: 2 });
  const { parameters, batch } = drawnCase(network, 3, 1);
  assert.throws(() => engine.load(new Map([...parameters].slice(1))), /model: parameter "conv1.weight" is missing/);
  assert.throws(() => engine.step(batch, options), /batch: expected 1 to 2 images, got 3/);
  assert.throws(
    () => engine.step({ images: batch.images.subarray(0, 700), labels: batch.labels.subarray(0, 1) }, options),
    /expected 576 pixels, got 700 \(prepare the images as 24x24 grey\)/,
  );
  assert.throws(() => engine.probabilities(batch.images.subarray(1)), /multiple of 576/);
  await engine.close();
  await assert.rejects(openEngine(pneumoniaNetwork(), { threads: 1, batchSize: 4096 }), /smaller batch size/);
  assert.equal(networkSchema.safeParse({ ...network, imageSize: 20 }).success, false);
});

test('one thread needs no permission to start workers', () => {
  const script = `
    import { openEngine, pneumoniaNetwork, initialParameters } from './src/engine/index.ts';
    const network = pneumoniaNetwork({ imageSize: 8, channels: [8], hidden: 32 });
    const engine = await openEngine(network, { threads: 1, batchSize: 1 });
    engine.load(initialParameters(network, 1));
    console.log(engine.probabilities(new Uint8Array(64)).length);
    await engine.close();`;
  const cwd = join(import.meta.dirname, '..', '..');
  const flags = ['--permission', `--allow-fs-read=${cwd}`, '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync(process.execPath, flags, { cwd, encoding: 'utf8' });
  assert.equal(stdout, '1\n', stderr);
});
