import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEngine } from './engine.ts';
import { equalise } from './equalise.ts';
import { type Network, pneumoniaNetwork } from './network.ts';
import { sgd } from './optimiser.ts';
import { drawnCase, lcg } from './testing.ts';

const SIZE = 20;

function equalised(images: Uint8Array, margin: number): Uint8Array {
  const out = new Uint8Array(images.length);
  equalise(images, SIZE, margin, out);
  return out;
}

const uniform = lcg(4);
/** Two images: dark and noisy, bright and of few values. */
const images = Uint8Array.from({ length: 2 * SIZE * SIZE }, (_, at) =>
  at < SIZE * SIZE ? 60 * uniform() ** 2 : 150 + 10 * Math.floor(8 * uniform()),
);

test('each grey value becomes the share of darker pixels inside the margin, by counting', () => {
  for (const [margin, edge] of [
    [0, 0],
    [0.1, 2],
    [0.12, 2],
  ] as const) {
    const got = equalised(images, margin);
    for (let first = 0; first < images.length; first += SIZE * SIZE) {
      const image = images.subarray(first, first + SIZE * SIZE);
      const inside = image.filter((_, at) => {
        const [x, y] = [at % SIZE, Math.floor(at / SIZE)];
        return Math.min(x, y) >= edge && Math.max(x, y) < SIZE - edge;
      });
      for (const [at, grey] of image.entries()) {
        const darker = inside.filter((other) => other < grey).length;
        const equal = inside.filter((other) => other === grey).length;
        assert.equal(got[first + at], Math.round((255 * (darker + equal / 2)) / inside.length));
      }
    }
  }
});

test('what keeps the order of the grey values changes nothing', () => {
  const exposed = images.map((grey) => 255 * (grey / 255) ** 0.5);
  const distinct = (pixels: Uint8Array): number => new Set(pixels.subarray(0, SIZE * SIZE)).size;
  assert.equal(distinct(exposed), distinct(images), 'no two grey values fall together');
  assert.deepEqual(equalised(exposed, 0.1), equalised(images, 0.1));
});

test('an image of one grey value becomes the middle grey; a margin never empties the histogram', () => {
  assert.deepEqual(equalised(new Uint8Array(SIZE * SIZE).fill(9), 0), new Uint8Array(SIZE * SIZE).fill(128));
  assert.deepEqual(equalised(new Uint8Array(SIZE * SIZE).fill(9), 0.4), new Uint8Array(SIZE * SIZE).fill(128));
});

test('a network that equalises learns and predicts as one without, on images that were equalised before', async () => {
  const plain = pneumoniaNetwork({ imageSize: 24, channels: [8, 16], hidden: 32 });
  const own: Network = { ...plain, normalisation: { ...plain.normalisation, equalise: 0.1 } };
  const { parameters, batch } = drawnCase(plain, 6, 3);
  const before = new Uint8Array(batch.images.length);
  equalise(batch.images, 24, 0.1, before);
  const results = [];
  for (const [network, given] of [
    [plain, before],
    [own, batch.images],
  ] as const) {
    const engine = await openEngine(network, { threads: 1, batchSize: 4 });
    engine.load(parameters);
    const first = { images: given.subarray(0, 4 * 24 * 24), labels: batch.labels.subarray(0, 4) };
    const { loss } = engine.step(first, { learningRate: 0.01, optimiser: sgd() });
    results.push({ loss, probabilities: [...engine.probabilities(given)] });
    await engine.close();
  }
  assert.deepEqual(results[1], results[0]);
  assert.notDeepEqual(before, batch.images);
});
