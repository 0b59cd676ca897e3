/** @file Holds whole steps at real sizes to PyTorch: images of 64 to 448 pixels, batches of 1 to 128, 1 and 2 threads. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { elementCount, openRng } from '../base/index.ts';
import { type LabelledImages, openEngine } from './engine.ts';
import { initialParameters } from './initial.ts';
import { parameterShapes } from './network.ts';
import { NETWORKS } from './networks.ts';
import { sgd } from './optimiser.ts';
import { relativeDistance } from './testing.ts';

const PYTHON = '/usr/bin/python3';
const missing =
  spawnSync(PYTHON, ['-c', 'import torch, numpy']).status === 0 ? false : 'python3-torch is not installed';

/** Bright and dark discs on a ramp, with noise. */
function images(count: number, size: number): LabelledImages {
  const rng = openRng(3, 'full size');
  const pixels = new Uint8Array(count * size * size);
  const labels = new Uint8Array(count);
  for (let image = 0; image < count; image++) {
    labels[image] = image % 3 === 0 ? 0 : 1;
    const [cx, cy, radius] = [rng.uniform() * size, rng.uniform() * size, size * (0.1 + 0.3 * rng.uniform())];
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const inside = Math.hypot(x - cx, y - cy) < radius ? 90 : 0;
        pixels[(image * size + y) * size + x] = 40 + (80 * y) / size + inside + 20 * (rng.uint32() / 2 ** 32);
      }
    }
  }
  return { images: pixels, labels };
}

for (const [name, imageSize, batch] of [
  ['pneumonia', 224, 3],
  ['small', 448, 1],
  ['pneumonia', 64, 128],
  ['small', 320, 2],
  ['resnet18', 224, 2],
] as const) {
  test(`one step as in PyTorch: ${name}, ${imageSize}x${imageSize}, batch ${batch}`, { skip: missing }, async () => {
    const network = NETWORKS[name]({ imageSize });
    const parameters = initialParameters(network, 5);
    const data = images(batch, imageSize);
    const folder = mkdtempSync(join(tmpdir(), 'fedrad-step-'));
    try {
      const shapes = [...parameterShapes(network)];
      writeFileSync(join(folder, 'work.json'), JSON.stringify({ network, labels: [...data.labels], shapes }));
      writeFileSync(join(folder, 'images.u8'), data.images);
      const buffers = [...parameters.values()].map((tensor) => new Uint8Array(tensor.data.buffer));
      writeFileSync(join(folder, 'parameters.f32'), Buffer.concat(buffers));
      const script = join(import.meta.dirname, 'fixtures', 'step.py');
      const { stdout, stderr, status } = spawnSync(PYTHON, [script, folder], { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const expectedLoss = Number(stdout);
      const expected = new Float32Array(new Uint8Array(readFileSync(join(folder, 'gradients.f32'))).buffer);
      for (const threads of [1, 2]) {
        const engine = await openEngine(network, { threads, batchSize: batch });
        engine.load(parameters);
        const { loss } = engine.step(data, { learningRate: 0.01, optimiser: sgd() });
        assert.ok(Math.abs(loss / expectedLoss - 1) < 1e-5, `loss ${loss}, expected ${expectedLoss}`);
        let start = 0;
        for (const [parameter, { shape, data: gradient }] of engine.velocity()) {
          const count = elementCount(shape);
          const distance = relativeDistance(gradient, expected.subarray(start, start + count));
          // PyTorch computes in double precision here; in single, rounding decides between nearly equal winners of a max-pool.
          assert.ok(distance < 1e-3, `gradient of ${parameter} is off by ${distance}`);
          start += count;
        }
        await engine.close();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
