import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { sha256 } from '../base/index.ts';
import { readManifest } from './manifest.ts';
import { partitionSchema } from './partition.ts';
import { openPhantoms } from './phantoms.ts';
import { prepare } from './prepare.ts';
import { readPrepared } from './prepared.ts';
import type { Source } from './source.ts';
import { type UploadRequest, uploadData } from './upload.ts';

const root = await mkdtemp(join(tmpdir(), 'fedrad-upload-'));
after(() => rm(root, { recursive: true }));
let folders = 0;
const freshFolder = async (): Promise<string> => {
  const folder = join(root, `${folders++}`);
  await mkdir(folder);
  return folder;
};

const PHANTOM: Source = { kind: 'phantom', imagesPerSilo: 60, imageSize: 32 };
const request = async (source: Source, changes: Partial<UploadRequest> = {}): Promise<UploadRequest> => ({
  source,
  siloIndex: 0,
  siloCount: 1,
  partition: partitionSchema.parse({}),
  seed: 1,
  output: await freshFolder(),
  scratch: await freshFolder(),
  ...changes,
});

/** Phantoms as a folder chest_xray/train/{NORMAL,PNEUMONIA}. */
async function phantomFolder(): Promise<string> {
  const folder = await freshFolder();
  const phantoms = openPhantoms({ imagesPerSilo: 60, imageSize: 32 }, 0, 1);
  for (const file of phantoms.files) {
    await mkdir(join(folder, 'chest_xray/train', file.label), { recursive: true });
    await writeFile(join(folder, 'chest_xray/train', file.path), await phantoms.read(file));
  }
  return folder;
}
const source = await phantomFolder();
const trainFolder = async (): Promise<[folder: string, train: string]> => {
  const folder = await freshFolder();
  await cp(source, folder, { recursive: true });
  return [folder, join(folder, 'chest_xray/train')];
};

test('an import fills the folder, its manifest names every file with its hash, its summary counts them', async () => {
  const asked = await request({ kind: 'folder', path: source });
  const summary = await uploadData(asked);
  assert.deepEqual(JSON.parse(await readFile(join(asked.output, 'summary.json'), 'utf8')), summary);
  assert.equal(summary.given, 60);
  assert.equal(summary.used, 60);
  assert.equal(summary.synthetic, false);
  const { files } = await readManifest(asked.output);
  assert.equal(files.length, 60);
  for (const file of files) {
    const bytes = await readFile(join(asked.output, file.path));
    assert.equal(createHash('sha256').update(bytes).digest('hex'), file.sha256);
    assert.ok(file.path.startsWith(`${file.split}/${file.label}/`));
  }
  assert.deepEqual(
    [...new Set(files.map(({ patient }) => patient))].sort((a, b) => a - b),
    [...Array(summary.patients).keys()],
  );
  const { train } = summary.splits;
  assert.equal(train.NORMAL.images, files.filter((file) => file.split === 'train' && file.label === 'NORMAL').length);
});

test('what cannot be used is left out, counted by reason and named only in the hospital', async () => {
  const [folder, train] = await trainFolder();
  const [whole] = (await readdir(join(train, 'NORMAL'))).map((name) => join(train, 'NORMAL', name));
  const bytes = await readFile(whole!);
  await writeFile(join(train, 'NORMAL', 'cut.png'), bytes.subarray(0, bytes.length / 2));
  await writeFile(join(train, 'NORMAL', 'empty.jpeg'), '');
  await writeFile(join(train, 'PNEUMONIA', 'Thumbs.db'), 'not an image');
  await writeFile(join(train, 'PNEUMONIA', 'page.jpeg'), '<html>');
  await writeFile(join(train, 'NORMAL', 'zz-copy.png'), bytes);
  const ill = (await readdir(join(train, 'PNEUMONIA'))).find((name) => name.startsWith('phantom'))!;
  await cp(join(train, 'PNEUMONIA', ill), join(train, 'NORMAL', 'contradiction.png'));
  const asked = await request({ kind: 'folder', path: folder });
  const summary = await uploadData(asked);
  assert.deepEqual(summary.leftOut, {
    'damaged or truncated': 1,
    'empty file': 1,
    'not a JPEG or PNG': 2,
    'exact duplicate': 1,
    'same image under both labels': 2,
  });
  assert.equal(summary.given, 66);
  assert.equal(summary.used, 59);
  const left = JSON.parse(await readFile(join(asked.output, 'quarantine.json'), 'utf8')) as { path: string }[];
  assert.equal(left.length, 7);
  assert.ok(left.some(({ path }) => path.endsWith('cut.png')));
  assert.doesNotMatch(await readFile(join(asked.output, 'summary.json'), 'utf8'), /png|jpeg|person/);
  const kept = await Promise.all(
    ['train', 'val', 'test'].flatMap((split) =>
      ['NORMAL', 'PNEUMONIA'].map((label) => readdir(join(asked.output, split, label))),
    ),
  );
  assert.equal(kept.flat().length, 59);
});

test('round-robin keeps exact duplicates, as the seed does', async () => {
  const [folder, train] = await trainFolder();
  const [name] = await readdir(join(train, 'NORMAL'));
  await cp(join(train, 'NORMAL', name!), join(train, 'NORMAL', 'zz-copy.png'));
  const summary = await uploadData(
    await request({ kind: 'folder', path: folder }, { partition: partitionSchema.parse({ method: 'round-robin' }) }),
  );
  assert.equal(summary.used, 61);
});

test('a class without usable image, a missing class and a filled folder are refused in one line', async () => {
  const [folder, train] = await trainFolder();
  for (const name of await readdir(join(train, 'NORMAL'))) await writeFile(join(train, 'NORMAL', name), '');
  const asked = await request({ kind: 'folder', path: folder });
  await assert.rejects(uploadData(asked), /images of hospital 0: no usable NORMAL image .* \d+ empty file/);
  await assert.rejects(readManifest(asked.output), /found no manifest.json/);
  await rm(join(train, 'NORMAL'), { recursive: true });
  await assert.rejects(uploadData(await request({ kind: 'folder', path: folder })), /no file in NORMAL\/ beside it/);
  await assert.rejects(uploadData(await request({ kind: 'folder', path: join(folder, 'nowhere') })), /cannot be read/);
  await assert.rejects(
    uploadData(await request(PHANTOM, { output: source })),
    /expected an empty folder, found 1 files or folders/,
  );
});

test('phantoms: the same request gives the same files, hospitals share no patient', async () => {
  const [first, again, other] = [
    await request(PHANTOM),
    await request(PHANTOM),
    await request(PHANTOM, { siloIndex: 1, siloCount: 2 }),
  ];
  const summaries = [await uploadData(first), await uploadData(again), await uploadData(other)];
  assert.ok(summaries.every(({ synthetic, used }) => synthetic && used === 60));
  assert.deepEqual(await readManifest(first.output), await readManifest(again.output));
  const names = async (folder: string) =>
    (await readManifest(folder)).files.map(({ path }) => path.split('/').at(-1)!.split('_')[1]);
  const own = new Set(await names(first.output));
  assert.ok((await names(other.output)).every((patient) => !own.has(patient)));
});

test('prepare decodes once: the second run comes from the cache with the same bytes, a damaged cache is made anew', async () => {
  const imported = await request(PHANTOM);
  await uploadData(imported);
  const cache = await freshFolder();
  const run = async (imageSize = 24) => {
    const output = await freshFolder();
    const summary = await prepare({ data: imported.output, output, cache, imageSize });
    return { summary, train: await readPrepared(output, 'train') };
  };
  const first = await run();
  assert.equal(first.summary.decoded, 60);
  assert.equal(first.train.images.length, first.train.labels.length * 24 * 24);
  assert.equal(first.summary.splits.train.PNEUMONIA.images, first.train.labels.filter((label) => label === 1).length);
  const second = await run();
  assert.equal(second.summary.decoded, 0);
  assert.deepEqual(second.train, first.train);
  assert.equal((await run(16)).summary.decoded, 60);
  for (const entry of await readdir(cache)) await writeFile(join(cache, entry, 'train.u8'), 'x');
  const repaired = await run();
  assert.equal(repaired.summary.decoded, 60);
  assert.deepEqual(repaired.train, first.train);
  assert.equal((await run()).summary.decoded, 0);
});

test('prepare removes unfinished cache entries that are older than a day, and no younger one', async () => {
  const imported = await request(PHANTOM);
  await uploadData(imported);
  const cache = await freshFolder();
  for (const [name, hours] of [
    ['a.old.partial', 25],
    ['a.young.partial', 23],
    ['finished', 99],
  ] as const) {
    await mkdir(join(cache, name));
    await writeFile(join(cache, name, 'train.u8'), 'x');
    const time = new Date(Date.now() - hours * 3_600_000);
    await utimes(join(cache, name), time, time);
  }
  await prepare({ data: imported.output, output: await freshFolder(), cache, imageSize: 8 });
  const left = await readdir(cache);
  assert.equal(left.length, 3);
  assert.ok(left.includes('a.young.partial') && left.includes('finished'));
});

test('prepare and readPrepared notice what was changed', async () => {
  const imported = await request(PHANTOM);
  await uploadData(imported);
  const output = await freshFolder();
  await prepare({ data: imported.output, output, imageSize: 8 });
  const array = await readFile(join(output, 'train.u8'));
  array[5]! ^= 1;
  await writeFile(join(output, 'train.u8'), array);
  await assert.rejects(readPrepared(output, 'train'), /train.u8: its SHA-256 is not the one/);
  await writeFile(join(output, 'train.u8'), array.subarray(1));
  await assert.rejects(readPrepared(output, 'train'), /expected \d+ images of 8 x 8 bytes/);
});

test('an image that changed or is gone is named by split, class, position and hash, never by its file', async () => {
  const imported = await request(PHANTOM);
  await uploadData(imported);
  const { files } = await readManifest(imported.output);
  const index = files.findIndex(({ split, label }) => split === 'train' && label === 'PNEUMONIA');
  const file = files[index]!;
  const refused = async (message: string) =>
    assert.rejects(prepare({ data: imported.output, output: await freshFolder(), imageSize: 8 }), (error: Error) => {
      const which = `files[${index}] of manifest.json (train, PNEUMONIA, SHA-256 ${file.sha256.slice(0, 8)}...)`;
      assert.ok(error.message.startsWith(`${which}: ${message}`), error.message);
      assert.doesNotMatch(inspect(error).replaceAll(/^ +at .*$/gm, ''), /person|png/);
      return true;
    });
  await writeFile(join(imported.output, file.path), 'x');
  await refused('the image changed since it was imported');
  await rm(join(imported.output, file.path));
  await refused('the image cannot be read: ENOENT: no such file or directory (run upload-data');
  await writeFile(join(imported.output, 'manifest.json'), '{"path": person1.png}');
  await assert.rejects(readManifest(imported.output), (error: Error) => {
    assert.match(error.message, /it is not JSON/);
    assert.doesNotMatch(inspect(error), /person/);
    return true;
  });
});

test('of two images with one name in NORMAL/ and normal/ the second is left out and counted', async (t) => {
  const [folder, train] = await trainFolder();
  const [name, other] = (await readdir(join(train, 'NORMAL'))).sort();
  await mkdir(join(train, 'normal'), { recursive: true });
  // Other bytes under the name: not an exact duplicate.
  const bytes = Buffer.concat([await readFile(join(train, 'NORMAL', other!)), Buffer.from('after the end')]);
  await writeFile(join(train, 'normal', name!), bytes);
  if ((await readdir(train)).length < 3) return t.skip('this disk does not tell upper from lower case');
  const asked = await request({ kind: 'folder', path: folder });
  const summary = await uploadData(asked);
  assert.deepEqual(summary.leftOut, { 'same name twice': 1 });
  assert.equal(summary.used, 60);
  const kept = (await readManifest(asked.output)).files.find(({ path }) => path.endsWith(`NORMAL/${name}`))!;
  assert.equal(sha256(await readFile(join(train, 'NORMAL', name!))), kept.sha256);
  assert.equal(sha256(await readFile(join(asked.output, kept.path))), kept.sha256);
});

test('an image that cannot be written is named by position and hash; one whose place is taken is set aside', async () => {
  const first = await request(PHANTOM);
  await uploadData(first);
  const inTest = (await readManifest(first.output)).files.filter(({ split }) => split === 'test');
  const disturbed = async (disturb: (output: string) => void) => {
    const asked = await request(PHANTOM);
    return uploadData({ ...asked, onProgress: (done) => done === 1 && disturb(asked.output) });
  };
  await assert.rejects(
    disturbed((output) => rmSync(join(output, 'test'), { recursive: true })),
    (error: Error) => {
      assert.match(
        error.message,
        /^image \d+ \(test, (NORMAL|PNEUMONIA), SHA-256 [0-9a-f]{8}\.\.\.\): cannot be written/,
      );
      assert.doesNotMatch(inspect(error).replaceAll(/^ +at .*$/gm, ''), /person|png/);
      return true;
    },
  );
  const summary = await disturbed((output) => {
    for (const { path } of inTest) writeFileSync(join(output, path), 'another');
  });
  assert.ok(summary.leftOut['same name twice']! > 0);
});

test('hospitals that read one source give it one hash, whatever their share; another source has another', async () => {
  const shares = await Promise.all(
    [0, 1, 2].map(async (siloIndex) =>
      uploadData(
        await request(
          { kind: 'folder', path: source },
          {
            siloIndex,
            siloCount: 3,
            seed: siloIndex,
            partition: partitionSchema.parse({ method: siloIndex === 2 ? 'round-robin' : 'patient-disjoint' }),
          },
        ),
      ),
    ),
  );
  const names = await Promise.all(
    ['NORMAL', 'PNEUMONIA'].map(async (label) =>
      (await readdir(join(source, 'chest_xray/train', label))).sort().map((name) => `${label}/${name}\n`),
    ),
  );
  const expected = sha256(names.flat().join(''));
  assert.deepEqual(
    shares.map(({ collectionSha256 }) => collectionSha256),
    [expected, expected, expected],
  );
  const [folder, train] = await trainFolder();
  await rm(join(train, names[0]![0]!.trim()));
  const other = await uploadData(await request({ kind: 'folder', path: folder }));
  assert.notEqual(other.collectionSha256, expected);
});
