import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FedradError, messageOf, openRng } from '../base/index.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { makeZip, type ZipEntry } from './testing.ts';
import { openZip } from './zip.ts';

const root = await mkdtemp(join(tmpdir(), 'fedrad-zip-'));
after(() => rm(root, { recursive: true }));
const path = join(root, 'archive.zip');

const GOOD: readonly ZipEntry[] = [
  { name: 'chest_xray/train/NORMAL/IM-0001-0001.jpeg', content: 'one' },
  { name: 'chest_xray/train/PNEUMONIA/person1_virus_1.jpeg', content: 'two' },
];

async function open(bytes: Uint8Array, limits: Partial<Limits> = {}) {
  await writeFile(path, bytes);
  return openZip(path, 'archive', { ...DEFAULT_LIMITS, ...limits });
}

test('takes train only, and neither the second copy nor what a Mac adds', async () => {
  const zip = await open(
    makeZip([
      ...GOOD,
      { name: 'chest_xray/train/NORMAL/.DS_Store', content: 'x' },
      { name: '__MACOSX/chest_xray/train/NORMAL/._IM-0001-0001.jpeg', content: 'x' },
      { name: 'chest_xray/test/', content: '' },
      { name: 'chest_xray/test/NORMAL/IM-0002-0001.jpeg', content: 'x' },
      { name: 'chest_xray/test/PNEUMONIA/person2_virus_2.jpeg', content: 'x' },
      ...GOOD.map(({ name, content }) => ({ name: `chest_xray/${name}`, content })),
    ]),
  );
  assert.deepEqual(
    zip.files.map(({ path: file }) => file),
    GOOD.map(({ name }) => name),
  );
  assert.equal(Buffer.from(await zip.read(zip.files[1]!)).toString(), 'two');
  zip.close();
});

test('an entry that is not what was packed is refused alone', async () => {
  const [first, second] = GOOD as [ZipEntry, ZipEntry];
  const zip = await open(makeZip([{ ...first, claims: { crc32: 1 } }, second]));
  await assert.rejects(zip.read(zip.files[0]!), /checksum does not match/);
  assert.equal(Buffer.from(await zip.read(zip.files[1]!)).toString(), 'two');
  zip.close();
});

const zeros = new Uint8Array(3 * 2 ** 20);
for (const [what, extra, message, limits] of [
  ['a path out of the folder', { name: '../../etc/passwd', content: 'x' }, /relative path/, {}],
  ['an absolute path', { name: '/etc/passwd', content: 'x' }, /absolute path/, {}],
  ['a path of Windows', { name: 'C:\\patient', content: 'x' }, /absolute path/, {}],
  ['a symbolic link', { name: 'NORMAL/patient', content: '/etc', mode: 0o120777 }, /entry 3 is a symbolic link/, {}],
  ['a control character', { name: 'NORMAL/patient\x1b[2J', content: 'x' }, /not a usable file name/, {}],
  ['a name twice', GOOD[0], /is in it twice/, {}],
  ['a bomb by ratio', { name: 'NORMAL/patient', content: zeros }, /more than 100 times its packed size/, {}],
  ['a bomb by file size', { name: 'NORMAL/patient', content: zeros }, /limit of 1000000/, { fileBytes: 1e6 }],
  ['a bomb by total', { name: 'NORMAL/patient', content: zeros }, /more than 1000000 bytes/, { unpackedBytes: 1e6 }],
  [
    'too many entries',
    { name: 'NORMAL/patient', content: 'x' },
    /3 entries, more than the limit of 2/,
    { entryCount: 2 },
  ],
] as const) {
  test(`an archive is refused in one line: ${what}`, async () => {
    await assert.rejects(open(makeZip([...GOOD, extra!]), limits), (error) => {
      assert.ok(error instanceof FedradError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\p{Cc}/u);
      assert.doesNotMatch(`${error.message} ${messageOf(error.cause)}`, /patient|passwd|jpeg/);
      return true;
    });
  });
}

test('an entry that unpacks to more than it claims is not read to its end', async () => {
  const [first, second] = GOOD as [ZipEntry, ZipEntry];
  const zip = await open(makeZip([{ ...first, content: zeros, claims: { unpackedBytes: 100 } }, second]));
  await assert.rejects(zip.read(zip.files[0]!), /too many bytes/);
  zip.close();
});

test('damaged archives give one clear line or readable entries, never a crash', async () => {
  const whole = makeZip(GOOD);
  const rng = openRng(4, 'damage');
  for (let trial = 0; trial < 300; trial++) {
    const bytes = Buffer.from(rng.integer(3) === 0 ? whole.subarray(0, rng.integer(whole.length)) : whole);
    for (let flip = rng.integer(6); flip > 0 && bytes.length > 0; flip--)
      bytes[rng.integer(bytes.length)] = rng.integer(256);
    try {
      const zip = await open(bytes);
      for (const file of zip.files) {
        await zip.read(file).then(
          (content) => assert.ok(content.length < 10),
          (error: unknown) => assert.ok(messageOf(error).length > 0),
        );
      }
      zip.close();
    } catch (error) {
      assert.ok(error instanceof FedradError, `trial ${trial}: ${String(error)}`);
    }
  }
});
