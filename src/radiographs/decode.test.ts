import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { openRng } from '../base/index.ts';
import { checkRadiograph, decodeRadiograph, UnusableImage } from './decode.ts';
import { openPhantoms } from './phantoms.ts';
import { resizeBilinear } from './resample.ts';

const ORIGINALS = join(import.meta.dirname, '../../../shared/data/original-size');

test('resizeBilinear gives the bytes of Pillow 9.4 (a ramp with a bright column, down, up and aside)', () => {
  const pixels = Uint8Array.from({ length: 7 * 5 }, (_, i) => (i % 7 === 3 ? 255 : (i * 37) % 200));
  const sized = (width: number, height: number) => [
    ...resizeBilinear({ width: 7, height: 5, pixels }, width, height).pixels,
  ];
  assert.deepEqual(sized(3, 2), [85, 162, 90, 93, 169, 117]);
  assert.deepEqual(
    sized(9, 5),
    [
      0, 25, 53, 114, 255, 172, 169, 131, 22, 59, 84, 112, 160, 255, 62, 28, 56, 81, 118, 143, 171, 206, 255, 108, 87,
      115, 140, 177, 68, 30, 96, 255, 154, 146, 174, 199, 36, 61, 89, 142, 255, 200, 93, 33, 58,
    ],
  );
  assert.deepEqual(sized(7, 1), [86, 81, 118, 255, 98, 103, 108]);
  assert.deepEqual(sized(7, 5), [...pixels]);
});

test('radiographs at original size and phantoms decode to the pixels that Pillow gives', async (context) => {
  const python = ['/usr/bin/python3', 'python3'].find((name) => spawnSync(name, ['-c', 'import PIL']).status === 0);
  if (python === undefined) return context.skip('Pillow is not installed');
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-decode-'));
  context.after(() => rm(folder, { recursive: true }));
  const phantoms = openPhantoms({ imagesPerSilo: 20, imageSize: 150 }, 0, 1);
  const paths: string[] = [];
  for (const [i, file] of phantoms.files.slice(0, 6).entries()) {
    const png = await phantoms.read(file);
    const colour = sharp(png).tint('#c09060').toColourspace('srgb');
    for (const [name, content] of [
      ['grey.png', png],
      ['colour.png', await colour.png().toBuffer()],
      ['colour.jpeg', await colour.jpeg().toBuffer()],
    ] as const) {
      paths.push(join(folder, `${i}-${name}`));
      await writeFile(paths.at(-1)!, content);
    }
  }
  if (existsSync(ORIGINALS)) {
    for (const label of ['NORMAL', 'PNEUMONIA']) {
      paths.push(
        ...readdirSync(join(ORIGINALS, label))
          .slice(0, 6)
          .map((name) => join(ORIGINALS, label, name)),
      );
    }
  }
  const program = `
import json, sys
from PIL import Image
grey = lambda path: Image.open(path).convert('RGB').convert('L')
print(json.dumps([grey(path).resize((97, 97), Image.BILINEAR).tobytes().hex() for path in json.load(sys.stdin)]))`;
  const { stdout, stderr } = spawnSync(python, ['-c', program], {
    input: JSON.stringify(paths),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const expected = JSON.parse(stdout || stderr) as string[];
  for (const [i, path] of paths.entries()) {
    assert.ok(Buffer.from(expected[i]!, 'hex').equals(await decodeRadiograph(path, 97)), path);
  }
});

/** A grey ramp from left (0) to right (255), 64 x 32. */
const ramp = sharp(
  Uint8Array.from({ length: 64 * 32 }, (_, i) => Math.round(((i % 64) * 255) / 63)),
  { raw: { width: 64, height: 32, channels: 1 } },
);
const left = (pixels: Uint8Array) => pixels[8 * 16]!;
const right = (pixels: Uint8Array) => pixels[8 * 16 + 15]!;

for (const [kind, encode] of [
  ['8-bit grey PNG', (image) => image.toColourspace('b-w').png()],
  ['16-bit grey PNG', (image) => image.toColourspace('grey16').png()],
  ['PNG with alpha', (image) => image.ensureAlpha(0.5).png()],
  ['palette PNG', (image) => image.png({ palette: true })],
  ['RGB JPEG', (image) => image.toColourspace('srgb').jpeg({ quality: 95 })],
  ['progressive JPEG', (image) => image.jpeg({ quality: 95, progressive: true })],
  ['CMYK JPEG', (image) => image.toColourspace('cmyk').jpeg({ quality: 95 })],
  ['JPEG with a colour profile', (image) => image.jpeg({ quality: 95 }).withIccProfile('p3')],
] as [string, (image: Sharp) => Sharp][]) {
  test(`a ${kind} becomes grey from dark to bright`, async () => {
    const pixels = await decodeRadiograph(await encode(ramp.clone()).toBuffer(), 16);
    // Four columns of the ramp: 6 at the left, 249 at the right. CMYK has no pure black or white.
    const tolerance = kind.startsWith('CMYK') ? 40 : 8;
    assert.ok(Math.abs(left(pixels) - 6) <= tolerance, `left ${left(pixels)}`);
    assert.ok(Math.abs(right(pixels) - 249) <= tolerance, `right ${right(pixels)}`);
    const middle = pixels[8 * 16 + 8]!;
    assert.ok(Math.abs(middle - 136) <= tolerance, `middle ${middle}`);
  });
}

test('EXIF orientation is applied', async () => {
  const mirrored = await ramp.clone().jpeg({ quality: 95 }).withMetadata({ orientation: 2 }).toBuffer();
  const pixels = await decodeRadiograph(mirrored, 16);
  assert.ok(left(pixels) > 240 && right(pixels) < 15);
  const turned = await ramp.clone().jpeg({ quality: 95 }).withMetadata({ orientation: 6 }).toBuffer();
  const down = await decodeRadiograph(turned, 16);
  assert.ok(down[8]! < 15 && down[15 * 16 + 8]! > 240);
});

test('what is no whole JPEG or PNG has a reason', async () => {
  const png = await ramp.clone().png().toBuffer();
  const jpeg = await ramp.clone().jpeg().toBuffer();
  const huge = Buffer.from(png);
  // Width and height of a PNG stand at bytes 16 and 20; its checksum is mended so that only the size is wrong.
  huge.writeUInt32BE(20_000, 16);
  huge.writeUInt32BE(20_000, 20);
  const { crc32 } = await import('node:zlib');
  huge.writeUInt32BE(crc32(huge.subarray(12, 29)), 29);
  for (const [bytes, reason] of [
    [new Uint8Array(0), 'empty file'],
    [Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'not a JPEG or PNG'],
    [Buffer.from('GIF89a'), 'not a JPEG or PNG'],
    [jpeg.subarray(0, jpeg.length / 2), 'damaged or truncated'],
    [png.subarray(0, png.length / 2), 'damaged or truncated'],
    [jpeg.subarray(0, 3), 'damaged or truncated'],
    [huge, 'too many pixels'],
  ] as const) {
    const refused = (error: unknown) => error instanceof UnusableImage && error.reason === reason;
    await assert.rejects(checkRadiograph(bytes), refused, reason);
    await assert.rejects(decodeRadiograph(bytes, 16), refused, reason);
  }
});

test('the check at import and the decoder agree on damaged files; neither crashes', async () => {
  const noise = openRng(1, 'pixels');
  const grey = sharp(
    Uint8Array.from({ length: 40 * 40 }, () => noise.integer(256)),
    { raw: { width: 40, height: 40, channels: 1 } },
  );
  const rng = openRng(2, 'damage');
  for (const whole of [await grey.clone().jpeg().toBuffer(), await grey.clone().png().toBuffer()]) {
    for (let trial = 0; trial < 60; trial++) {
      const bytes = Buffer.from(whole.subarray(0, rng.integer(2) ? whole.length : rng.integer(whole.length)));
      for (let flip = 1 + rng.integer(4); flip > 0 && bytes.length > 0; flip--)
        bytes[rng.integer(bytes.length)] = rng.integer(256);
      const outcomes = await Promise.allSettled([checkRadiograph(bytes), decodeRadiograph(bytes, 16)]);
      for (const outcome of outcomes) {
        assert.ok(outcome.status === 'fulfilled' || outcome.reason instanceof UnusableImage, `trial ${trial}`);
      }
      assert.equal(outcomes[0].status, outcomes[1].status, `trial ${trial}`);
    }
  }
});

test('a file that is not there is an error of the file system, not an unusable image', async () => {
  await assert.rejects(decodeRadiograph(join(tmpdir(), 'no-such-image.png'), 16), { code: 'ENOENT' });
});
