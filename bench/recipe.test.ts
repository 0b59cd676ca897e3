import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openRng } from '../src/base/index.ts';
import { openPhantoms } from '../src/radiographs/phantoms.ts';
import { acquiredAs, acquisitionOf } from './acquisition.ts';
import { RECIPES } from './recipes.ts';
import { SHIFTS, shifted } from './shift.ts';

const SIZE = 64;
const root = mkdtempSync(join(tmpdir(), 'fedrad-ablation-'));
const data = join(root, 'data');

before(async () => {
  for (const label of ['NORMAL', 'PNEUMONIA']) mkdirSync(join(data, label), { recursive: true });
  const phantoms = openPhantoms({ imagesPerSilo: 40, imageSize: SIZE }, 0, 1);
  for (const file of phantoms.files) writeFileSync(join(data, file.path), await phantoms.read(file));
});
after(() => rmSync(root, { recursive: true }));

const ablation = (...args: string[]) =>
  spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'recipe.ts'), '--data', data, '--tiny', '--of', '2', '--threads', '1', ...args],
    { encoding: 'utf8' },
  );

test('npm run ablation: a row for each recipe, and a second call trains nothing anew', () => {
  const names = [RECIPES[0]!.name, RECIPES.at(-1)!.name];
  const args = ['--folder', join(root, 'kept'), ...names.flatMap((name) => ['--only', name])];
  const first = ablation(...args, '--json');
  assert.equal(first.status, 0, first.stderr);
  const outcomes = first.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    outcomes.map(({ recipe }) => recipe),
    names,
  );
  for (const { auroc } of outcomes) {
    assert.deepEqual(
      Object.keys(auroc),
      SHIFTS.map(({ name }) => name),
    );
    for (const value of Object.values(auroc)) assert.ok((value as number) >= 0 && (value as number) <= 1);
  }
  // The time that training took would differ if it had been done again.
  assert.equal(ablation(...args, '--json').stdout, first.stdout);
  assert.equal(
    ablation(...args)
      .stdout.trim()
      .split('\n').length,
    4,
  );
  assert.ok(readdirSync(join(root, 'kept')).every((name) => !name.endsWith('.part')));
});

test('an unknown recipe is named with what there is', () => {
  const { stderr, status } = ablation('--only', 'better');
  assert.equal(status, 1);
  assert.match(stderr, /no recipe "better" \(there are: the example/);
});

/** Rings and noise; class 1 is squashed, softer and of less contrast, and nothing else. */
function confounded(count: number): { images: Uint8Array; labels: Uint8Array; size: number } {
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 2);
  const images = new Uint8Array(count * SIZE * SIZE);
  for (const [i, label] of labels.entries()) {
    const rng = openRng(3, 'confounded', i);
    const [cx, cy, spacing] = [28 + 8 * rng.uniform(), 28 + 8 * rng.uniform(), (label ? 11 : 6) + rng.uniform()];
    for (let at = 0; at < SIZE * SIZE; at++) {
      const r = Math.hypot(((at % SIZE) - cx) * (label ? 1.3 : 1), Math.floor(at / SIZE) - cy);
      const value = 128 + (label ? 50 : 90) * Math.sin((r / spacing) * Math.PI) + 3 * rng.normal();
      images[i * SIZE * SIZE + at] = Math.min(255, Math.max(0, value));
    }
  }
  return { images, labels, size: SIZE };
}

const held = confounded(60);
const image = (images: Uint8Array, i: number): Uint8Array => images.subarray(i * SIZE * SIZE, (i + 1) * SIZE * SIZE);
const shift = (name: string) => SHIFTS.find((one) => one.name === name)!;

/** Mean of a measure over the images of a class. */
function mean(
  images: Uint8Array,
  label: number,
  of: (acquisition: ReturnType<typeof acquisitionOf>) => number,
): number {
  const values = Array.from(held.labels.keys())
    .filter((i) => held.labels[i] === label)
    .map((i) => of(acquisitionOf(image(images, i), SIZE)));
  return values.reduce((a, b) => a + b) / values.length;
}

test('class shifts bring the classes together, or exchange them', async () => {
  const measures = {
    'same aspect': (a: ReturnType<typeof acquisitionOf>) => Math.log(a.aspect),
    'same sharpness': (a: ReturnType<typeof acquisitionOf>) => a.sharpness,
    'same exposure': (a: ReturnType<typeof acquisitionOf>) => a.window[2] - a.window[0],
  };
  const exchanged = await shifted(shift('acquisitions exchanged'), held, 1);
  for (const [name, of] of Object.entries(measures)) {
    const between = (images: Uint8Array): number => mean(images, 0, of) - mean(images, 1, of);
    const same = await shifted(shift(name), held, 1);
    const before = between(held.images);
    assert.ok(Math.abs(between(same)) < 0.5 * Math.abs(before), `${name}: ${before} to ${between(same)}`);
    assert.ok(between(exchanged) / before < 0.1, `${name}: exchanged ${before} to ${between(exchanged)}`);
  }
});

test('a shift of one class leaves the other as it was', async () => {
  for (const [name, untouched] of [
    ['NORMAL taken as PNEUMONIA', 1],
    ['PNEUMONIA taken as NORMAL', 0],
  ] as const) {
    const images = await shifted(shift(name), held, 1);
    for (const [i, label] of held.labels.entries()) {
      const equal = Buffer.compare(image(images, i), image(held.images, i)) === 0;
      assert.equal(equal, label === untouched, `${name}, image ${i}`);
    }
  }
});

test('every shift but none changes images, the same way each time', async () => {
  const few = { ...held, images: held.images.subarray(0, 4 * SIZE * SIZE), labels: held.labels.subarray(0, 4) };
  for (const one of SHIFTS) {
    const images = await shifted(one, few, 5);
    assert.equal(images.length, few.images.length);
    assert.deepEqual(await shifted(one, few, 5), images);
    assert.equal(Buffer.compare(images, few.images) === 0, one.kind === 'none', one.name);
  }
});

test('an image acquired as itself stays nearly as it is', () => {
  const own = image(held.images, 0);
  const again = acquiredAs(own, SIZE, acquisitionOf(own, SIZE));
  const difference = again.reduce((sum, value, i) => sum + Math.abs(value - own[i]!), 0) / own.length;
  assert.ok(difference < 4, `${difference} grey values`);
});
