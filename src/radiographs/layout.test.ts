import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { listLabelledFolder } from './collection.ts';
import { findLabelled } from './layout.ts';
import { patientOf } from './patient.ts';
import { parseSource, sourceSchema } from './source.ts';

test('patientOf groups by the bare number within a series', () => {
  for (const [name, patient] of [
    ['person123_virus_4.jpeg', 'person123'],
    ['person123_bacteria_1.jpeg', 'person123'],
    ['person447_virus_921_1.jpeg', 'person447'],
    ['IM-0115-0001.jpeg', 'IM115'],
    ['IM-0115-0001-0002.jpeg', 'IM115'],
    ['NORMAL2-IM-0115-0001.jpeg', 'IM115'],
    ['phantom_person12_1.png', 'person12'],
    ['00000013_005.png', 'NIH13'],
    ['some film.of.mine.png', 'some film.of.mine'],
    ['someperson12.png', 'someperson12'],
  ] as const) {
    assert.equal(patientOf(name), patient, name);
  }
});

const found = (...paths: string[]) => findLabelled(paths, 'here').map(({ path }) => path);

test('finds the labelled files of every layout, sorted by class and name', () => {
  assert.deepEqual(found('normal/b.png', 'Pneumonia/a.png', 'normal/a.png'), [
    'normal/a.png',
    'normal/b.png',
    'Pneumonia/a.png',
  ]);
  assert.deepEqual(found('x/test/NORMAL/a', 'x/test/PNEUMONIA/a', 'x/train/NORMAL/b', 'x/train/PNEUMONIA/b'), [
    'x/train/NORMAL/b',
    'x/train/PNEUMONIA/b',
  ]);
  assert.deepEqual(
    found('NORMAL/a', 'PNEUMONIA/a', 'NORMAL/.hidden', 'NORMAL/deeper/b', 'x/NORMAL/a', 'x/PNEUMONIA/a'),
    ['NORMAL/a', 'PNEUMONIA/a'],
  );
});

test('says in one line what is missing or ambiguous', () => {
  assert.throws(() => found(), /here: found no NORMAL\/ or PNEUMONIA\/ folder with files \(expected a folder with/);
  assert.throws(() => found('a/NORMAL/x'), /found NORMAL\/ but no file in PNEUMONIA\/ beside it/);
  assert.throws(
    () => found('val/NORMAL/a', 'val/PNEUMONIA/a', 'test/NORMAL/a', 'test/PNEUMONIA/a'),
    /several folders hold NORMAL\/ and PNEUMONIA\/: "test", "val" \(name the one you mean\)/,
  );
});

test('listLabelledFolder gives paths that can be opened, follows links and survives a loop of them', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-layout-'));
  context.after(() => rm(folder, { recursive: true }));
  for (const path of ['a/NORMAL/IM-1-1.png', 'a/PNEUMONIA/person3_virus_1.png', 'elsewhere/person4_virus_2.png']) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), '');
  }
  await symlink(join(folder, 'elsewhere/person4_virus_2.png'), join(folder, 'a/PNEUMONIA/person4_virus_2.png'));
  await symlink(join(folder, 'a'), join(folder, 'a/loop'));
  assert.deepEqual(
    (await listLabelledFolder(join(folder, 'a'))).map(({ path, label, patient }) => [path, label, patient]),
    [
      [join(folder, 'a/NORMAL/IM-1-1.png'), 'NORMAL', 'IM1'],
      [join(folder, 'a/PNEUMONIA/person3_virus_1.png'), 'PNEUMONIA', 'person3'],
      [join(folder, 'a/PNEUMONIA/person4_virus_2.png'), 'PNEUMONIA', 'person4'],
    ],
  );
});

test('parseSource reads every kind and names the choices otherwise', () => {
  assert.deepEqual(parseSource('kaggle'), {
    kind: 'kaggle',
    baseUrl: 'https://www.kaggle.com',
    dataset: 'paultimothymooney/chest-xray-pneumonia',
  });
  assert.deepEqual(parseSource('folder:C:/data:1'), { kind: 'folder', path: 'C:/data:1' });
  assert.deepEqual(parseSource('zip:/a.zip'), { kind: 'zip', path: '/a.zip' });
  assert.deepEqual(parseSource('phantom'), sourceSchema.parse({ kind: 'phantom' }));
  assert.equal((parseSource('phantom:40') as { imagesPerSilo: number }).imagesPerSilo, 40);
  for (const text of [
    '',
    'folder',
    'folder:',
    'phantom:',
    'phantom:x',
    'phantom:3',
    'kaggle:owner',
    'Kaggle',
    'http://x',
  ]) {
    assert.throws(() => parseSource(text), /^FedradError: source: expected kaggle, .* got "/, text);
  }
});
