import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FedradError, openRng } from '../base/index.ts';
import { CLASSES, findLabelled, type LabelledFile, SPLITS } from './layout.ts';
import { checkShare, ownFiles, type Partition, partitionSchema } from './partition.ts';

const KAGGLE = join(import.meta.dirname, '../../../shared/data/chest_xray/train');

/** Names as in the Kaggle training set: 1 to 30 images a patient. */
function inventedNames(): string[] {
  const rng = openRng(5, 'names');
  let image = 0;
  const ill = Array.from({ length: 300 }, (_, patient) =>
    Array.from({ length: rng.integer(20) === 0 ? 1 + rng.integer(30) : 1 + rng.integer(3) }, () => {
      image += 1;
      return `PNEUMONIA/person${patient}_${rng.integer(2) ? 'virus' : 'bacteria'}_${image}.jpeg`;
    }),
  ).flat();
  const normal = Array.from({ length: 160 }, (_, patient) =>
    ['IM', 'NORMAL2-IM']
      .slice(rng.integer(2))
      .map((series) => `NORMAL/${series}-${String(patient).padStart(4, '0')}-0001.jpeg`),
  ).flat();
  return [...normal, ...ill];
}

const names = existsSync(KAGGLE)
  ? ['NORMAL', 'PNEUMONIA'].flatMap((label) => readdirSync(join(KAGGLE, label)).map((name) => `${label}/${name}`))
  : inventedNames();
const files = findLabelled(names, 'test');

const deal = (partition: Partition, siloCount: number, seed: number, given: readonly LabelledFile[] = files) =>
  Array.from({ length: siloCount }, (_, siloIndex) => ownFiles(given, { siloIndex, siloCount, partition, seed }));

for (const [siloCount, seed, skew] of [
  [1, 1, {}],
  [3, 1, {}],
  [3, 2, {}],
  [7, 3, {}],
  [3, 4, { sizeSkew: [5, 2, 1] }],
  [4, 5, { labelSkewAlpha: 0.5 }],
  [3, 6, { labelSkewAlpha: 0.1, sizeSkew: [1, 2, 3] }],
  [3, 7, { labelSkewAlpha: 30 }],
] as const) {
  test(`patient-disjoint, ${siloCount} hospitals, seed ${seed}, ${JSON.stringify(skew)}: no patient twice, no file lost`, () => {
    const partition = partitionSchema.parse(structuredClone(skew));
    const silos = deal(partition, siloCount, seed);
    const home = new Map<string, string>();
    for (const [silo, own] of silos.entries()) {
      for (const { file, split } of own) {
        const place = `${silo} ${split}`;
        assert.equal(home.get(file.patient) ?? place, place, `${file.patient} is in two places`);
        home.set(file.patient, place);
      }
    }
    assert.deepEqual(
      silos
        .flat()
        .map(({ file }) => file.path)
        .sort(),
      files.map(({ path }) => path).sort(),
    );
  });
}

test('patient-disjoint: images come close to the targets in every hospital, split and class', () => {
  const silos = deal(partitionSchema.parse({ sizeSkew: [4, 2, 1] }), 3, 11);
  for (const label of ['NORMAL', 'PNEUMONIA'] as const) {
    const total = files.filter((file) => file.label === label).length;
    for (const [silo, own] of silos.entries()) {
      const images = own.filter(({ file }) => file.label === label);
      const expected = (total * [4, 2, 1][silo]!) / 7;
      assert.ok(
        Math.abs(images.length - expected) <= 3,
        `hospital ${silo} ${label}: ${images.length}, not ${expected}`,
      );
      for (const [s, target] of [0.8, 0.1, 0.1].entries()) {
        const count = images.filter(({ split }) => split === SPLITS[s]).length;
        const wanted = target * images.length;
        assert.ok(Math.abs(count - wanted) <= 3, `hospital ${silo} ${label} ${SPLITS[s]}: ${count}, not ${wanted}`);
      }
    }
  }
});

test('a small alpha skews the labels, a large one does not', () => {
  const prevalences = (labelSkewAlpha: number) =>
    deal(partitionSchema.parse({ labelSkewAlpha }), 3, 3).map(
      (own) => own.filter(({ file }) => file.label === 'PNEUMONIA').length / own.length,
    );
  const spread = (values: number[]) => Math.max(...values) - Math.min(...values);
  assert.ok(spread(prevalences(0.3)) > 0.15, `${prevalences(0.3)}`);
  assert.ok(spread(prevalences(1000)) < 0.05, `${prevalences(1000)}`);
});

for (const method of ['patient-disjoint', 'round-robin'] as const) {
  test(`${method}: the order of the directory does not matter, the seed of the run matters where it should`, () => {
    const partition = partitionSchema.parse({ method });
    const shuffled = findLabelled(openRng(8, 'order').shuffle([...names]), 'test');
    assert.deepEqual(deal(partition, 3, 1, shuffled), deal(partition, 3, 1));
    const paths = (seed: number) => deal(partition, 3, seed)[0]!.map(({ file }) => file.path);
    assert.equal(paths(1).join() === paths(2).join(), method === 'round-robin');
  });
}

test('round-robin is what python-split-folders and the seed component give', (context) => {
  // The lines of split_folders.py and of the seed's upload_data/run.py that choose files, without their copying.
  const program = `
import json, random, sys
out = []
for case in json.load(sys.stdin):
    placed = []
    for label, names in case.items():
        random.seed(31415)
        files = sorted(names)
        random.shuffle(files)
        train = int(0.8 * len(files))
        val = train + int(0.1 * len(files))
        for split, part in (('train', files[:train]), ('val', files[train:val]), ('test', files[val:])):
            placed += [(split, label, name) for name in part]
    placed.sort()
    out.append([[p for i, p in enumerate(placed) if i % 3 == silo] for silo in range(3)])
print(json.dumps(out))`;
  const subsets = [files, ...[1, 2, 9, 10, 11, 97].map((size) => thin(files, size))];
  const input = JSON.stringify(
    subsets.map((subset) =>
      Object.fromEntries(
        CLASSES.map((label) => [label, subset.filter((file) => file.label === label).map(({ name }) => name)]),
      ),
    ),
  );
  const { status, stdout } = spawnSync('python3', ['-c', program], { input, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) return context.skip('python3 is not installed');
  const partition = partitionSchema.parse({ method: 'round-robin' });
  assert.deepEqual(
    subsets.map((subset) =>
      deal(partition, 3, 1, subset).map((own) => own.map(({ split, file }) => [split, file.label, file.name])),
    ),
    JSON.parse(stdout),
  );
});

const thin = (all: readonly LabelledFile[], size: number): LabelledFile[] => [
  ...all.filter(({ label }) => label === 'NORMAL').slice(0, size),
  ...all.filter(({ label }) => label === 'PNEUMONIA').slice(0, 2 * size),
];

test('requests that cannot be met are refused in one line', () => {
  const share =
    (siloIndex: number, siloCount: number, partition: unknown, phantom = false) =>
    () =>
      checkShare({ siloIndex, siloCount, partition: partitionSchema.parse(partition), seed: 1 }, phantom);
  assert.throws(share(3, 3, {}), /silo index: expected a whole number from 0 to 2, got 3/);
  assert.throws(share(0, 0.5, {}), FedradError);
  assert.throws(share(0, 3, { sizeSkew: [1, 2] }), /partition.sizeSkew: expected 3 numbers/);
  assert.throws(share(0, 3, { labelSkewAlpha: 1 }, true), /does not apply to phantoms/);
  assert.throws(share(0, 3, { method: 'round-robin', labelSkewAlpha: 1 }), /need patient-disjoint/);
  assert.throws(
    () =>
      ownFiles(thin(files, 5), {
        siloIndex: 0,
        siloCount: 3,
        partition: partitionSchema.parse({ labelSkewAlpha: 1 }),
        seed: 1,
      }),
    /partition.labelSkewAlpha: .*fewer than 10 images \(choose a larger/,
  );
});
