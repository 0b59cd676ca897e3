import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { drawText, TEXT_HEIGHT } from './lettering.ts';
import { drawOverlay } from './overlay.ts';

/** A flat grey image of this size, as a file. */
async function flat(context: TestContext, width: number, height: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-overlay-'));
  context.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'flat.png');
  const raw = { width, height, channels: 1 } as const;
  await writeFile(
    path,
    await sharp(Buffer.alloc(width * height, 100), { raw })
      .png()
      .toBuffer(),
  );
  return path;
}

async function pixels(png: Uint8Array) {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number): number[] => [
    ...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3),
  ];
  return { ...info, at };
}

test('the map lies over the whole image: bright and yellow at its maximum, the radiograph as it was where it is 0', async (context) => {
  const values = new Float32Array(4 * 4);
  values[1 * 4 + 3] = 2.5;
  const png = await drawOverlay(
    await flat(context, 640, 400),
    { values, width: 4, height: 4, probability: 0.93 },
    'grad-cam',
  );
  const { width, height, at } = await pixels(png);
  assert.deepEqual([width, height > 400, height < 450], [640, true, true]);
  assert.deepEqual(at(80, 50), [100, 100, 100]);
  assert.deepEqual(at(240, 350), [100, 100, 100]);
  // Centre of row 1, column 3: 0.35 of grey 100, 0.65 of viridis' last colour, fde725.
  for (const [c, value] of [199, 185, 59].entries()) assert.ok(Math.abs(at(560, 150)[c]! - value) < 4);
  const grey = ([r, g, b]: number[]): number => 0.3 * r! + 0.59 * g! + 0.11 * b!;
  const across = [340, 440, 470, 560].map((x) => grey(at(x, 150)));
  assert.ok(across[0]! < across[3]! && across[1]! < across[3]!, `brighter towards the maximum: ${across}`);
  const row = Array.from({ length: 160 }, (_, x) => at(400 + x, 150).join());
  assert.ok(row.includes('255,255,255'), 'a line goes round half of the maximum');
});

test('small and slim images are enlarged and widened for the legend, a map without evidence changes nothing', async (context) => {
  const nothing = { values: new Float32Array(9), width: 3, height: 3, probability: 0 };
  const { width, height, at } = await pixels(await drawOverlay(await flat(context, 20, 100), nothing, 'grad-cam'));
  assert.ok(width > 400 && height > 640);
  assert.deepEqual(
    [at(5, 5), at(127, 639)],
    [
      [100, 100, 100],
      [100, 100, 100],
    ],
  );
  const large = await pixels(await drawOverlay(await flat(context, 3000, 1500), nothing, 'grad-cam'));
  assert.deepEqual([large.width, large.height > 512, large.height < 560], [1024, true, true]);
});

test('the legend names the method that made the map', async (context) => {
  const map = { values: new Float32Array(9), width: 3, height: 3, probability: 0.5 };
  const path = await flat(context, 640, 640);
  for (const [method, words] of [
    ['grad-cam', 'GRAD-CAM'],
    ['hires-cam', 'HIRES-CAM'],
  ] as const) {
    const { at, height } = await pixels(await drawOverlay(path, map, method));
    const top = Math.floor((640 + height - TEXT_HEIGHT * 2) / 2);
    const expected = new Set<string>();
    drawText(words, 2, (x, y) => expected.add(`${x},${y}`));
    for (let y = 0; y < TEXT_HEIGHT * 2; y++)
      for (let x = 0; x < words.length * 12; x++)
        assert.equal(at(12 + x, top + y)[0] === 255, expected.has(`${x},${y}`), `${method} at ${x}, ${y}`);
  }
});
