import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { openRng } from '../base/index.ts';
import { decodeRadiograph } from './decode.ts';
import { drawAnatomy, lungAt } from './phantomChest.ts';
import { openPhantoms } from './phantoms.ts';

/** Area under the ROC curve of a score: the share of pairs (ill, healthy) in the right order (Mann and Whitney). */
function auroc(scores: readonly { readonly score: number; readonly ill: boolean }[]): number {
  const healthy = scores.filter(({ ill }) => !ill);
  const ill = scores.filter((one) => one.ill);
  const right = ill.flatMap((a) => healthy.map((b) => (a.score > b.score ? 1 : a.score === b.score ? 0.5 : 0)));
  return right.reduce((sum: number, one) => sum + one, 0) / right.length;
}

const SIZE = 48;
const cohorts = await Promise.all(
  [0, 1, 2].map(async (silo) => {
    const phantoms = openPhantoms({ imagesPerSilo: 120, imageSize: SIZE }, silo, 7);
    return Promise.all(
      phantoms.files.map(async (file) => ({
        ill: file.label === 'PNEUMONIA',
        patient: file.patient,
        pixels: await decodeRadiograph(await phantoms.read(file), SIZE),
      })),
    );
  }),
);
const mean = (pixels: Uint8Array): number => pixels.reduce((sum, pixel) => sum + pixel, 0) / pixels.length;

test('brightness alone does not tell the label', () => {
  const area = auroc(cohorts.flat().map(({ ill, pixels }) => ({ ill, score: mean(pixels) })));
  assert.ok(Math.max(area, 1 - area) < 0.75, `AUROC of the mean grey level: ${area}`);
});

test('the disease can be seen: inside the lungs the ill are brighter than the rest of their image says', () => {
  // A crude reader: the brightest spot in the typical lung against its median. Chance is 0.5.
  const lung = typicalLung();
  for (const [silo, cohort] of cohorts.entries()) {
    const area = auroc(
      cohort.map(({ ill, pixels }) => {
        const inside = lung.map((i) => pixels[i]!).sort((a, b) => a - b);
        const at = (share: number) => inside[Math.floor(share * inside.length)]!;
        return { ill, score: at(0.85) - at(0.2) };
      }),
    );
    assert.ok(area > 0.58 && area < 0.99, `hospital ${silo}: ${area}`);
  }
});

test('hospitals differ in prevalence and look; no patient has two labels or more than 3 images', () => {
  const share = cohorts.map((cohort) => cohort.filter(({ ill }) => ill).length / cohort.length);
  assert.ok(Math.max(...share) - Math.min(...share) > 0.15, `${share}`);
  for (const cohort of cohorts) {
    for (const images of Map.groupBy(cohort, ({ patient }) => patient).values()) {
      assert.ok(images.length <= 3);
      assert.equal(new Set(images.map(({ ill }) => ill)).size, 1);
    }
  }
});

test('the same arguments give the same pixels, another seed or hospital gives others', async () => {
  const first = async (silo: number, seed: number) => {
    const phantoms = openPhantoms({ imagesPerSilo: 20, imageSize: 32 }, silo, seed);
    const image = sharp(await phantoms.read(phantoms.files[0]!));
    const { format, width, height, channels, depth } = await image.metadata();
    assert.deepEqual([format, width, height, channels, depth], ['png', 32, 32, 1, 'uchar']);
    return image.raw().toBuffer();
  };
  const pixels = await first(0, 1);
  assert.deepEqual(await first(0, 1), pixels);
  assert.notDeepEqual(await first(0, 2), pixels);
  assert.notDeepEqual(await first(1, 1), pixels);
  assert.notDeepEqual(await first(3, 1), pixels);
});

function typicalLung(): number[] {
  const anatomy = drawAnatomy(openRng(1, 'typical'));
  return Array.from({ length: SIZE * SIZE }, (_, i) => i).filter((i) => {
    const [u, v] = [(((i % SIZE) + 0.5) / SIZE) * 2 - 1, ((Math.floor(i / SIZE) + 0.5) / SIZE) * 2 - 1];
    return lungAt(anatomy, u, v) > 0.7;
  });
}
