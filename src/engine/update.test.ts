/** @file Holds the kernels' optimisers to torch.optim (fixtures/optimisers.json) and to the papers, in float64. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { openEngine } from './engine.ts';
import { compileKernels, linkKernels } from './kernels.ts';
import { pneumoniaNetwork } from './network.ts';
import { type Optimiser, optimiserSchema } from './optimiser.ts';
import { drawnCase, lcg, relativeDistance } from './testing.ts';
import { hasSecondMoments, SETTINGS_FLOATS, updateSettings } from './update.ts';

const fixtures = z.object({ optimisers: z.array(z.object({ name: z.string(), w: z.array(z.number()) })) });
const { optimisers: expected } = fixtures.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures/optimisers.json'), 'utf8')),
);

const [PARAMETERS, STEPS] = [37, 20];
const drawn = (seed: number): Float32Array => {
  const uniform = lcg(seed);
  return Float32Array.from({ length: PARAMETERS }, () => uniform() * 2 - 1);
};
/** As in fixtures/optimisers.py: some small enough for Adam's eps to show, some 0 in even steps. */
const gradientOf = (step: number): Float32Array =>
  drawn(100 + step).map((value, i) => value * [1, 2 ** -24, step % 2][i % 3]!);
const rateOf = (step: number): number => 0.05 * (1 - step / 40);

const CASES: Readonly<Record<string, readonly [optimiser: z.input<typeof optimiserSchema>, mu: number]>> = {
  sgd: [{ kind: 'sgd', momentum: 0 }, 0],
  momentum: [{ kind: 'sgd' }, 0],
  'momentum, mu': [{ kind: 'sgd' }, 0.3],
  'weight decay': [{ kind: 'sgd', momentum: 0.8, weight_decay: 0.1 }, 0],
  nesterov: [{ kind: 'sgd', nesterov: true }, 0],
  'nesterov, weight decay, mu': [{ kind: 'sgd', momentum: 0.7, nesterov: true, weight_decay: 0.1 }, 0.3],
  adam: [{ kind: 'adam' }, 0],
  'adam, weight decay, mu': [{ kind: 'adam', betas: [0.8, 0.95], eps: 1e-3, weight_decay: 0.1 }, 0.3],
  adamw: [{ kind: 'adamw', weight_decay: 0.1 }, 0],
  'adamw, mu': [{ kind: 'adamw', betas: [0.7, 0.9], eps: 1e-6, weight_decay: 0.3 }, 0.3],
};

/** Kingma and Ba's algorithm 1, Loshchilov and Hutter's algorithm 2, Sutskever et al.'s momentum as PyTorch writes it. */
function steps(optimiser: Optimiser, mu: number): Float64Array {
  const w = Float64Array.from(drawn(1));
  const anchor = drawn(2);
  const [m, v] = [new Float64Array(PARAMETERS), new Float64Array(PARAMETERS)];
  for (let step = 0; step < STEPS; step++) {
    const [gradient, rate, t] = [gradientOf(step), rateOf(step), step + 1];
    for (let i = 0; i < PARAMETERS; i++) {
      const decay = optimiser.weight_decay * w[i]!;
      const g = gradient[i]! + (optimiser.kind === 'adamw' ? 0 : decay) + mu * (w[i]! - anchor[i]!);
      if (optimiser.kind === 'sgd') {
        m[i] = optimiser.momentum * m[i]! + g;
        w[i]! -= rate * (optimiser.nesterov ? g + optimiser.momentum * m[i]! : m[i]!);
        continue;
      }
      const [beta1, beta2] = optimiser.betas;
      m[i] = beta1 * m[i]! + (1 - beta1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      const step = m[i]! / (1 - beta1 ** t) / (Math.sqrt(v[i]! / (1 - beta2 ** t)) + optimiser.eps);
      w[i]! -= rate * (step + (optimiser.kind === 'adamw' ? decay : 0));
    }
  }
  return w;
}

test('the fixtures cover every case', () => {
  assert.deepEqual(
    expected.map(({ name }) => name),
    Object.keys(CASES),
  );
});

for (const relaxed of [true, false]) {
  for (const { name, w: fixture } of expected) {
    test(`20 steps as in torch.optim: ${name} (${relaxed ? 'relaxed' : 'plain'} SIMD)`, async () => {
      const [input, mu] = CASES[name]!;
      const optimiser = optimiserSchema.parse(input);
      const reference = steps(optimiser, mu);
      assert.ok(relativeDistance(reference, fixture) < 1e-12, 'the papers and PyTorch');

      const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
      const { updateRange, sumAndUpdate } = linkKernels(
        (await compileKernels({ relaxedSimd: relaxed, sharedMemory: true })).module,
        memory,
      );
      const [SETTINGS, W, VELOCITY, SECOND, ANCHOR, GRADIENT] = [64, 256, 512, 768, 1024, 1280];
      const STRIDE = 256;
      const floats = (at: number, count = PARAMETERS) => new Float32Array(memory.buffer, at, count);
      const second = hasSecondMoments(optimiser) ? SECOND : 0;
      const anchor = mu > 0 ? ANCHOR : 0;
      const begin = (): void => {
        for (const at of [VELOCITY, SECOND]) floats(at, 40).fill(0);
        floats(W).set(drawn(1));
        floats(ANCHOR).set(drawn(2));
      };
      const settingsOf = (step: number): void =>
        floats(SETTINGS, SETTINGS_FLOATS).set(
          updateSettings(optimiser, { learningRate: rateOf(step), proximalMu: mu, step: step + 1 }),
        );

      begin();
      for (let step = 0; step < STEPS; step++) {
        settingsOf(step);
        floats(GRADIENT).set(gradientOf(step));
        updateRange(W, VELOCITY, second, anchor, GRADIENT, PARAMETERS * 4, SETTINGS);
      }
      const alone = floats(W).slice();
      assert.ok(relativeDistance(alone, fixture) < 1e-6, `off by ${relativeDistance(alone, fixture)}`);
      assert.deepEqual([...floats(W + PARAMETERS * 4, 3)], [0, 0, 0], 'the padding stays 0');

      // The same gradients as halves of two images, in two ranges: halving is exact, so are the bits.
      begin();
      for (let step = 0; step < STEPS; step++) {
        settingsOf(step);
        for (const image of [0, 1]) floats(GRADIENT + image * STRIDE).set(gradientOf(step).map((g) => g / 2));
        for (const [from, to] of [
          [0, 64],
          [64, 160],
        ] as const) {
          sumAndUpdate(GRADIENT, STRIDE, 2, W, VELOCITY, second, anchor, from, to, SETTINGS);
        }
      }
      assert.deepEqual(floats(W), alone);
    });
  }
}

const adamw = optimiserSchema.parse({ kind: 'adamw', weight_decay: 0.1 });

for (const name of ['nesterov, weight decay, mu', 'adamw, mu']) {
  test(`every parameter of a network takes the same steps: ${name}`, async () => {
    const optimiser = optimiserSchema.parse(CASES[name]![0]);
    const network = pneumoniaNetwork({ imageSize: 16, channels: [8, 16], hidden: 32, dropout: 0 });
    const { parameters, batch } = drawnCase(network, 4, 11);
    const engine = await openEngine(network, { threads: 2, batchSize: 4, secondMoments: true });
    engine.load(parameters);
    engine.setAnchor();
    const learningRate = 0.01;
    const second = new Map([...parameters].map(([key, { data }]) => [key, new Float64Array(data.length)]));
    let [before, state] = [engine.parameters(), engine.velocity()];
    for (let step = 1; step <= 4; step++) {
      engine.step(batch, { learningRate, optimiser, proximalMu: 0.3 });
      const [after, next] = [engine.parameters(), engine.velocity()];
      for (const [key, { data: old }] of before) {
        const [m, was, v] = [next.get(key)!.data, state.get(key)!.data, second.get(key)!];
        const moves = Array.from(old, (w, i) => {
          if (optimiser.kind === 'sgd') {
            // What came in besides the old velocity is the gradient with decay and pull.
            const g = m[i]! - optimiser.momentum * was[i]!;
            return -learningRate * (g + optimiser.momentum * m[i]!);
          }
          const [beta1, beta2] = optimiser.betas;
          const g = (m[i]! - beta1 * was[i]!) / (1 - beta1);
          v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
          const root = Math.sqrt(v[i]! / (1 - beta2 ** step)) + optimiser.eps;
          return -learningRate * (m[i]! / (1 - beta1 ** step) / root + optimiser.weight_decay * w);
        });
        const moved = after.get(key)!.data.map((w, i) => w - old[i]!);
        const distance = relativeDistance(moved, moves);
        assert.ok(moves.some((move) => move !== 0) && distance < 2e-4, `${key}, step ${step}: off by ${distance}`);
      }
      [before, state] = [after, next];
    }
    await engine.close();
  });
}

test('loading forgets moments and the count of steps; threads do not change the bits', async () => {
  const network = pneumoniaNetwork({ imageSize: 16, channels: [8, 16], hidden: 32 });
  const { parameters, batch } = drawnCase(network, 5, 12);
  const results: unknown[] = [];
  for (const threads of [1, 3]) {
    const engine = await openEngine(network, { threads, batchSize: 5, secondMoments: true });
    for (let round = 0; round < 2; round++) {
      engine.load(parameters);
      engine.setAnchor();
      for (const proximalMu of [0, 0.2, 0.2])
        engine.step(batch, { learningRate: 0.01, optimiser: adamw, proximalMu, dropoutKey: [1, 2] });
      results.push([...engine.parameters()].map(([, { data }]) => Buffer.from(data.buffer).toString('base64')));
    }
    await engine.close();
  }
  for (const result of results.slice(1)) assert.deepEqual(result, results[0]);
});

test('Adam without room for its second moments is a defect of the caller', async () => {
  const network = pneumoniaNetwork({ imageSize: 8, channels: [8], hidden: 32 });
  const { batch } = drawnCase(network, 1, 1);
  const engine = await openEngine(network, { threads: 1, batchSize: 1 });
  assert.throws(() => engine.step(batch, { learningRate: 0.1, optimiser: adamw }), /adamw needs secondMoments/);
  await engine.close();
});
