/** @file What every datastore must do: registers its tests for one implementation. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test as register, type TestContext } from 'node:test';
import { sha256 } from '../base/index.ts';
import type { Datastore } from './datastore.ts';
import { temporaryFolder } from './testing.ts';

/** Paths that no datastore may follow. */
export const HOSTILE_PATHS = [
  '',
  '/',
  '..',
  '../other',
  'a/../../b',
  'a/..',
  './a',
  'a//b',
  '/etc/passwd',
  'a\0b',
  'a\nb',
  'a\\..\\b',
  '.fedrad-lock',
];

/**
 * Runs the contract over the datastores that `open` gives, each new and empty.
 *
 * @param options.leftovers what lies there of unfinished work
 * @param options.skip why the tests cannot run here
 */
export function datastoreContract<Kind extends Datastore>(
  kind: string,
  open: (t: TestContext) => Promise<Kind>,
  { leftovers, ...options }: { leftovers: (datastore: Kind) => Promise<readonly string[]>; skip?: string | undefined },
): void {
  const test = (name: string, body: (t: TestContext) => Promise<void>): void =>
    void register(name, { skip: options.skip ?? false }, body);
  const publishText = async (t: TestContext, datastore: Datastore, text: string, path: string, options = {}) => {
    const file = join(await temporaryFolder(t), 'output');
    await writeFile(file, text);
    return datastore.publish(file, path, options);
  };
  /** The text of a file as whoever fetches it gets it. */
  const textAt = async (t: TestContext, datastore: Datastore, path: string): Promise<string> => {
    const target = join(await temporaryFolder(t), 'fetched');
    await datastore.fetch(path, target);
    return readFile(target, 'utf8');
  };

  test(`${kind}: a published file is there with its hash, and its source is gone`, async (t) => {
    const datastore = await open(t);
    const source = join(await temporaryFolder(t), 'model');
    await writeFile(source, 'weights');
    assert.equal(await datastore.exists('run/1/model.safetensors'), false);
    const content = await datastore.publish(source, 'run/1/model.safetensors');
    assert.deepEqual(content, { sha256: sha256('weights'), bytes: 7 });
    assert.deepEqual(await datastore.hash('run/1/model.safetensors'), content);
    assert.equal(await datastore.exists('run/1/model.safetensors'), true);
    assert.equal(await textAt(t, datastore, 'run/1/model.safetensors'), 'weights');
    await assert.rejects(readFile(source), { code: 'ENOENT' });
  });

  test(`${kind}: a folder is published whole, and named by its paths and contents`, async (t) => {
    const datastore = await open(t);
    const folder = await temporaryFolder(t);
    await mkdir(join(folder, 'train', 'leer'), { recursive: true });
    await writeFile(join(folder, 'train', 'ä 1.png'), 'x');
    await writeFile(join(folder, 'train.csv'), 'yz');
    const content = await datastore.publish(folder, 'pneumonia');
    const expected = sha256(`train.csv\0${sha256('yz')}\ntrain/ä 1.png\0${sha256('x')}\n`);
    assert.deepEqual(content, { sha256: expected, bytes: 3 });
    assert.deepEqual(await datastore.hash('pneumonia/'), content);
    assert.deepEqual(await datastore.list(''), ['pneumonia/train.csv', 'pneumonia/train/ä 1.png']);
    assert.deepEqual(await datastore.list('pneumonia/train'), ['pneumonia/train/ä 1.png']);
    assert.deepEqual(await datastore.list('pneu'), []);
    assert.deepEqual(await datastore.list('pneumonia/train.csv'), []);
  });

  test(`${kind}: publishing again is success for the same content and an error for other content`, async (t) => {
    const datastore = await open(t);
    const first = await publishText(t, datastore, 'same', 'a/out');
    assert.deepEqual(await publishText(t, datastore, 'same', 'a/out'), first);
    await assert.rejects(
      publishText(t, datastore, 'other', 'a/out'),
      /^FedradError: datastore ".*": a\/out exists with other content \(a finished output never changes/,
    );
    assert.equal(await textAt(t, datastore, 'a/out'), 'same');
    assert.deepEqual(await datastore.list(''), ['a/out']);
  });

  test(`${kind}: where asked to, publishing replaces a file or a folder, whole`, async (t) => {
    const datastore = await open(t);
    const publishFolder = async (names: readonly string[]) => {
      const folder = join(await temporaryFolder(t), 'output');
      await mkdir(folder);
      for (const name of names) await writeFile(join(folder, name), name);
      return datastore.publish(folder, 'a/out', { replace: true });
    };
    await publishFolder(['one', 'two']);
    assert.deepEqual(await datastore.list(''), ['a/out/one', 'a/out/two']);
    const content = await publishFolder(['two', 'three']);
    assert.deepEqual(await datastore.list(''), ['a/out/three', 'a/out/two']);
    assert.deepEqual(await datastore.hash('a/out'), content);
    assert.deepEqual(await publishFolder(['three', 'two']), content);
    for (const text of ['old', 'new']) {
      await publishText(t, datastore, text, 'a/out', { replace: true });
      assert.equal(await textAt(t, datastore, 'a/out'), text);
    }
    await publishFolder(['one']);
    assert.deepEqual(await datastore.list(''), ['a/out/one']);
    assert.deepEqual(await leftovers(datastore), []);
  });

  test(`${kind}: a replacement that fails keeps what lies there`, async (t) => {
    const datastore = await open(t);
    await publishText(t, datastore, 'old', 'out');
    const folder = await temporaryFolder(t);
    const missing = join(folder, 'missing');
    await assert.rejects(datastore.publish(missing, 'out', { replace: true }), /nothing to publish as out/);
    await symlink('/etc/passwd', join(folder, 'link'));
    await assert.rejects(datastore.publish(folder, 'out', { replace: true }), /got a symbolic link/);
    assert.equal(await textAt(t, datastore, 'out'), 'old');
    assert.deepEqual(await datastore.list(''), ['out']);
  });

  test(`${kind}: what is fetched is whole, takes the place of what lay there, and is still in the datastore`, async (t) => {
    const datastore = await open(t);
    const folder = await temporaryFolder(t);
    await mkdir(join(folder, 'train'));
    await writeFile(join(folder, 'train', 'ä 1.png'), 'x');
    await writeFile(join(folder, 'empty'), '');
    const content = await datastore.publish(folder, 'pneumonia');
    const parent = await temporaryFolder(t);
    const target = join(parent, 'copy');
    await mkdir(target);
    await writeFile(join(target, 'old'), 'old');
    assert.deepEqual(await datastore.fetch('pneumonia', target), content);
    assert.deepEqual((await readdir(target, { recursive: true })).sort(), ['empty', 'train', join('train', 'ä 1.png')]);
    assert.equal(await readFile(join(target, 'train', 'ä 1.png'), 'utf8'), 'x');
    await assert.rejects(datastore.fetch('pneumonia/val', target), /nothing lies at pneumonia\/val/);
    assert.deepEqual((await readdir(target)).sort(), ['empty', 'train']);
    assert.deepEqual(await readdir(parent), ['copy']);
    assert.deepEqual(await datastore.hash('pneumonia'), content);
  });

  test(`${kind}: an output that was never written is not published`, async (t) => {
    const datastore = await open(t);
    const missing = join(await temporaryFolder(t), 'model');
    await assert.rejects(datastore.publish(missing, 'a/out'), /nothing to publish as a\/out: .*model is missing/);
    assert.equal(await datastore.exists('a/out'), false);
  });

  test(`${kind}: of two that publish different contents at once, one wins`, async (t) => {
    const datastore = await open(t);
    const texts = ['one', 'two', 'three', 'four'];
    const results = await Promise.allSettled(texts.map((text) => publishText(t, datastore, text, 'out')));
    const winners = texts.filter((_, index) => results[index]?.status === 'fulfilled');
    assert.equal(winners.length, 1);
    assert.equal(await textAt(t, datastore, 'out'), winners[0]);
  });

  test(`${kind}: what is removed is gone, and removing nothing is success`, async (t) => {
    const datastore = await open(t);
    await publishText(t, datastore, 'x', 'a/b/out');
    await datastore.remove('a/b');
    await datastore.remove('a/b');
    assert.equal(await datastore.exists('a/b/out'), false);
    await assert.rejects(datastore.hash('a/b/out'), /nothing lies at a\/b\/out/);
    await publishText(t, datastore, 'y', 'a/b/out');
  });

  test(`${kind}: no path leads out`, async (t) => {
    const datastore = await open(t);
    const file = join(await temporaryFolder(t), 'output');
    await writeFile(file, 'x');
    for (const path of HOSTILE_PATHS) {
      const refused = { name: 'FedradError', message: /^datastore ".*": path ".*": / };
      await assert.rejects(datastore.publish(file, path), refused);
      await assert.rejects(datastore.fetch(path, file), refused);
      await assert.rejects(datastore.exists(path), refused);
      await assert.rejects(datastore.hash(path), refused);
      await assert.rejects(datastore.remove(path), refused);
      if (path !== '') await assert.rejects(datastore.list(path), refused);
    }
    assert.equal(await readFile(file, 'utf8'), 'x');
    await rm(file);
  });
}
