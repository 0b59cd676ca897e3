import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Augmentation, augmentationSchema, drawLook, type Look, openAugmenter } from './augment.ts';
import { openEngine } from './engine.ts';
import { pneumoniaNetwork } from './network.ts';
import { drawnCase } from './testing.ts';
import { train } from './train.ts';

const SIZE = 23;
const KEY = [11, 12] as const;
const options = (part: Partial<Augmentation>): Augmentation => augmentationSchema.parse(part);

/** Smooth, and without symmetry. */
const image = Uint8Array.from({ length: SIZE * SIZE }, (_, at) => {
  const [x, y] = [at % SIZE, Math.floor(at / SIZE)];
  return 20 + 200 * Math.exp(-((x - 8) ** 2 + (y - 13) ** 2) / 40) + x;
});

function augmented(part: Partial<Augmentation>, epoch = 0, index = 0): Uint8Array {
  const out = new Uint8Array(SIZE * SIZE);
  openAugmenter(options(part), SIZE, KEY)(image, epoch, index, out);
  return out;
}

/** The definition in double precision: interpolation, then table, then filter. */
function expected({ matrix, table, sharpness: [across, down] }: Look): number[] {
  const [xx, xy, x0, yx, yy, y0] = matrix;
  const inside = (x: number, y: number): boolean => x >= 0 && y >= 0 && x < SIZE && y < SIZE;
  const grey = (x: number, y: number): number => (inside(x, y) ? image[y * SIZE + x]! : 0);
  const warped = Array.from({ length: SIZE * SIZE }, (_, at) => {
    const [u, v] = [at % SIZE, Math.floor(at / SIZE)];
    const [x, y] = [xx * u + xy * v + x0, yx * u + yy * v + y0];
    const [left, top] = [Math.floor(x), Math.floor(y)];
    let sum = 0;
    for (const [dx, dy] of [
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ] as const) {
      sum += (1 - Math.abs(x - left - dx)) * (1 - Math.abs(y - top - dy)) * grey(left + dx, top + dy);
    }
    const below = Math.floor(sum);
    return table[below]! + (sum - below) * ((table[below + 1] ?? 0) - table[below]!);
  });
  const at = (pixels: number[], x: number, y: number): number =>
    pixels[Math.min(SIZE - 1, Math.max(0, y)) * SIZE + Math.min(SIZE - 1, Math.max(0, x))]!;
  const filtered = (pixels: number[], w: number, dx: number, dy: number): number[] =>
    pixels.map((value, i) => {
      const [x, y] = [i % SIZE, Math.floor(i / SIZE)];
      return (1 + w) * value - (w / 2) * (at(pixels, x - dx, y - dy) + at(pixels, x + dx, y + dy));
    });
  return filtered(filtered(warped, across, 1, 0), down, 0, 1).map((value) => Math.min(255, Math.max(0, value)));
}

test('nothing on: the image as it is', () => assert.deepEqual(augmented({}), image));

for (const part of [
  { shift: 0.3 },
  { rotation: 30 },
  { scale: 0.4 },
  { aspect: 0.4 },
  { brightness: 0.2, contrast: 0.4, gamma: 0.5 },
  { sharpness: 0.5 },
  { shift: 0.1, rotation: 15, scale: 0.2, aspect: 0.3, brightness: 0.1, contrast: 0.2, gamma: 0.3, sharpness: 0.5 },
]) {
  test(`${JSON.stringify(part)}: as its definition in double precision`, () => {
    for (let index = 0; index < 8; index++) {
      const wanted = expected(drawLook(options(part), SIZE, KEY, 3, index));
      const got = augmented(part, 3, index);
      const errors = wanted.map((value, i) => Math.abs(value - got[i]!));
      // 1/256 pixel and one rounding before the table; sharpening in both directions multiplies them by 4 at most.
      assert.ok(Math.max(...errors) < 5, `image ${index}: off by ${Math.max(...errors)}`);
      assert.ok(errors.reduce((a, b) => a + b) / errors.length < 0.6);
    }
  });
}

test('a shift moves content to where it says, a rotation turns and a scale magnifies it', () => {
  const centroid = (pixels: Uint8Array): readonly [number, number, number] => {
    let [sum, x, y, spread] = [0, 0, 0, 0];
    for (const [at, value] of pixels.entries()) {
      sum += value;
      x += value * (at % SIZE);
      y += value * Math.floor(at / SIZE);
    }
    [x, y] = [x / sum, y / sum];
    for (const [at, value] of pixels.entries())
      spread += (value / sum) * (((at % SIZE) - x) ** 2 + (Math.floor(at / SIZE) - y) ** 2);
    return [x, y, Math.sqrt(spread)];
  };
  const spot = Uint8Array.from(image, (_, at) => (at % SIZE === 14 && Math.floor(at / SIZE) === 9 ? 255 : 0));
  const look = (part: Partial<Augmentation>): Look => drawLook(options(part), SIZE, KEY, 0, 1);
  const shown = (part: Partial<Augmentation>): Uint8Array => {
    const out = new Uint8Array(SIZE * SIZE);
    openAugmenter(options(part), SIZE, KEY)(spot, 0, 1, out);
    return out;
  };
  // Content at p appears where the matrix maps back to p.
  for (const part of [{ shift: 0.2 }, { rotation: 40 }, { shift: 0.1, rotation: 40 }]) {
    const [xx, xy, x0, yx, yy, y0] = look(part).matrix;
    const [u, v] = centroid(shown(part));
    assert.ok(Math.abs(xx * u + xy * v + x0 - 14) < 0.1, JSON.stringify(part));
    assert.ok(Math.abs(yx * u + yy * v + y0 - 9) < 0.1, JSON.stringify(part));
  }
});

test('what is drawn fills the ranges, evenly about no change, and is drawn for each epoch and image anew', () => {
  const part = {
    shift: 0.1,
    rotation: 15,
    scale: 0.2,
    aspect: 0.3,
    gamma: 0.5,
    brightness: 0.1,
    sharpness: 0.4,
    noise: 0.1,
  };
  const looks = Array.from({ length: 2000 }, (_, i) => drawLook(options(part), SIZE, KEY, i % 5, Math.floor(i / 5)));
  const quantities: readonly [string, (look: Look) => number, number, number][] = [
    ['rotation', ({ matrix }) => (Math.atan2(matrix[1], matrix[0]) * 180) / Math.PI, -15, 15],
    // The determinant of the inverse is 1 / zoom^2; the aspect does not change it.
    ['scale', ({ matrix: [xx, xy, , yx, yy] }) => -Math.log(xx * yy - xy * yx) / 2, -Math.log(1.2), Math.log(1.2)],
    [
      'aspect',
      ({ matrix: [xx, xy, , yx, yy] }) => Math.log(Math.hypot(yx, yy) / Math.hypot(xx, xy)),
      -Math.log(1.3),
      Math.log(1.3),
    ],
    [
      'shift',
      ({ matrix: [xx, xy, x0, yx, yy, y0] }) => {
        const determinant = xx * yy - xy * yx;
        const c = (SIZE - 1) / 2;
        return (yy * (c - x0) - xy * (c - y0)) / determinant - c;
      },
      -0.1 * SIZE,
      0.1 * SIZE,
    ],
    ['sharpness across', ({ sharpness }) => sharpness[0], -0.4, 0.4],
    ['sharpness down', ({ sharpness }) => sharpness[1], -0.4, 0.4],
    ['noise', ({ noiseStd }) => noiseStd, 0, 25.5],
  ];
  for (const [name, of, low, high] of quantities) {
    const values = looks.map(of);
    const [least, most, width] = [Math.min(...values), Math.max(...values), high - low];
    assert.ok(least >= low - 1e-9 && most <= high + 1e-9, `${name}: ${least} to ${most}`);
    assert.ok(least < low + 0.01 * width && most > high - 0.01 * width, `${name}: ${least} to ${most}`);
    const mean = values.reduce((a, b) => a + b) / values.length;
    assert.ok(Math.abs(mean - (low + high) / 2) < 0.03 * width, `${name}: mean ${mean}`);
    assert.ok(new Set(values).size > 1900, name);
  }
});

test('an option does not change what another draws', () => {
  const one = drawLook(options({ rotation: 10 }), SIZE, KEY, 2, 5);
  const both = drawLook(options({ rotation: 10, gamma: 0.5, sharpness: 0.5, cutout: 0.5 }), SIZE, KEY, 2, 5);
  assert.deepEqual(both.matrix, one.matrix);
});

test('noise has the standard deviation that was drawn; a cutout is grey', () => {
  const grey = new Uint8Array(128 * 128).fill(120);
  const out = new Uint8Array(grey.length);
  openAugmenter(options({ noise: 0.1 }), 128, KEY)(grey, 0, 3, out);
  const { noiseStd } = drawLook(options({ noise: 0.1 }), 128, KEY, 0, 3);
  const mean = out.reduce((a, b) => a + b) / out.length;
  const std = Math.sqrt(out.reduce((sum, v) => sum + (v - mean) ** 2, 0) / out.length);
  assert.ok(Math.abs(mean - 120) < 0.5 && Math.abs(std / noiseStd - 1) < 0.03, `${mean} ${std} ${noiseStd}`);

  openAugmenter(options({ cutout: 0.9 }), 128, KEY)(grey, 0, 3, out);
  const { x, y } = drawLook(options({ cutout: 0.9 }), 128, KEY, 0, 3).cutout!;
  const count = out.filter((value) => value === 128).length;
  assert.ok(count > 0 && count === (x[1] - x[0]) * (y[1] - y[0]));
});

test('training with augmentation: the same bits for 1 and 3 threads, others than without, others for another stream', async () => {
  const network = pneumoniaNetwork({ imageSize: 16, channels: [8, 16], hidden: 32 });
  const { parameters, batch } = drawnCase(network, 12, 5);
  const fitted = async (threads: number, augmentation: Augmentation | undefined, stream: string): Promise<string> => {
    const engine = await openEngine(network, { threads, batchSize: 4 });
    engine.load(parameters);
    const fit = { epochs: 2, batchSize: 4, learningRate: 0.01, seed: 1, stream: [stream] };
    await train(engine, batch, augmentation ? { ...fit, augmentation } : fit);
    const weights = Buffer.from(engine.parameters().get('fc1.weight')!.data.buffer).toString('base64');
    await engine.close();
    return weights;
  };
  const some = options({ shift: 0.1, rotation: 10, gamma: 0.3, sharpness: 0.3 });
  const first = await fitted(1, some, 'silo0');
  assert.equal(await fitted(3, some, 'silo0'), first);
  assert.notEqual(await fitted(1, some, 'silo1'), first);
  assert.equal(await fitted(1, options({}), 'silo0'), await fitted(1, undefined, 'silo0'));
  assert.notEqual(await fitted(1, undefined, 'silo0'), first);
});

test('an unknown or impossible option is refused', () => {
  for (const bad of [{ flip: 1 }, { shift: -0.1 }, { scale: 2 }, { sharpness: 0.7 }])
    assert.equal(augmentationSchema.safeParse(bad).success, false);
});
