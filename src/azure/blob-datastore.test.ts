/** @file The datastore on Azure Blob against Azurite: the contract of every datastore, and what only this one has to stand. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { BlobServiceClient, type ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { type Azurite, startAzurite, withoutAzurite } from '../../test/azure/azurite.ts';
import { startStandIn } from '../../test/azure/stand-in.ts';
import { openCleanup } from '../../test/hospitals/tool.ts';
import { datastoreContract } from '../workspace/datastore-contract.ts';
import type { Datastore } from '../workspace/index.ts';
import { temporaryFolder } from '../workspace/testing.ts';
import { openBlobDatastore } from './blob-datastore.ts';

const ACCOUNT = 'stsilo0';
const cleanup = openCleanup();
after(() => cleanup.undo());
let started: Promise<Azurite> | undefined;

/** One emulator for the file, since it takes seconds to start: each test has a container of its own. */
const azurite = (): Promise<Azurite> => {
  started ??= startStandIn(cleanup).then(({ certificate }) => startAzurite(cleanup, [ACCOUNT], certificate));
  return started;
};

interface Opened extends Datastore {
  readonly container: ContainerClient;
}

async function openNew(_t: TestContext): Promise<Opened> {
  const { blobUrl, keys } = await azurite();
  const credential = new StorageSharedKeyCredential(ACCOUNT, keys.get(ACCOUNT)!);
  const container = new BlobServiceClient(blobUrl(ACCOUNT), credential).getContainerClient(`c${randomUUID()}`);
  await container.create();
  return { ...openBlobDatastore('demo', container), container };
}

async function blobNames(container: ContainerClient, includeUncommitedBlobs = false): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of container.listBlobsFlat({ includeUncommitedBlobs })) names.push(name);
  return names.sort();
}

datastoreContract('blob', openNew, {
  leftovers: async (datastore) => {
    const listed = new Set(await datastore.list(''));
    const names = await blobNames(datastore.container);
    return names.filter((name) => !listed.has(name) && !name.endsWith('/.fedrad-folder'));
  },
  skip: withoutAzurite,
});

const skip = { skip: withoutAzurite };

async function folderOf(t: TestContext, files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const folder = join(await temporaryFolder(t), 'output');
  await mkdir(folder);
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

/** The container as somebody has it whose calls end, as if killed, once `dies` says so. */
function dying(container: ContainerClient, dies: (call: 'stage' | 'commit' | 'delete', name: string) => boolean) {
  const guarded = <Client extends object>(client: Client, name: string): Client =>
    new Proxy(client, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        const call = { stageBlock: 'stage', commitBlockList: 'commit', deleteIfExists: 'delete' } as const;
        return (...args: unknown[]) => {
          if (Object.hasOwn(call, key) && dies(call[key as keyof typeof call], name)) throw new Error('killed');
          return Reflect.apply(value, target, args);
        };
      },
    });
  return new Proxy(container, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const result: unknown = Reflect.apply(value, target, args);
        return key === 'getBlockBlobClient' || key === 'getBlobClient'
          ? guarded(result as object, String(args[0]))
          : result;
      };
    },
  });
}

test('what a killed upload has staged is not sent again, and nobody sees it before', skip, async (t) => {
  const { container, list, publish } = await openNew(t);
  const content = Buffer.alloc(9 << 20);
  for (let at = 0; at < content.length; at += 4096) content.writeUInt32BE(at, at);
  const folder = await folderOf(t, { model: content, card: 'x' });
  let sent: string[] = [];
  const counted = (most: number): Datastore =>
    openBlobDatastore(
      'demo',
      dying(container, (call, name) => {
        if (call !== 'stage') return false;
        if (sent.length >= most) return true;
        sent.push(name);
        return false;
      }),
    );
  await assert.rejects(counted(2).publish(folder, 'a/out'), /killed/);
  assert.equal(sent.length, 2);
  assert.deepEqual(await list(''), []);
  assert.deepEqual(await blobNames(container), []);
  const before = sent.length;
  sent = [];
  await counted(Number.POSITIVE_INFINITY).publish(folder, 'a/out');
  assert.equal(before + sent.length, 4);
  // The same once more, by somebody who has it too.
  sent = [];
  await counted(0).publish(await folderOf(t, { model: content, card: 'x' }), 'a/out');
  assert.deepEqual(await list('a/out'), ['a/out/card', 'a/out/model']);
  await publish(await folderOf(t, { model: content }), 'b');
});

test(
  'a folder whose writer was killed between its files is not seen, and whoever comes next finishes it',
  skip,
  async (t) => {
    for (const [last, replaced] of [
      ['a/out/two', false],
      ['a/out/two', true],
      ['a/out/zero', true],
    ] as const) {
      const datastore = await openNew(t);
      if (replaced) await datastore.publish(await folderOf(t, { zero: '0', one: 'old' }), 'a/out');
      const killed = openBlobDatastore(
        'demo',
        dying(datastore.container, (call, name) => call !== 'stage' && name === last),
      );
      const files = { one: '1', two: '2', three: '3' };
      await assert.rejects(killed.publish(await folderOf(t, files), 'a/out', { replace: true }), /killed/);
      assert.deepEqual(await datastore.list(''), []);
      assert.equal(await datastore.exists('a/out'), false);
      assert.equal(await datastore.exists('a/out/one'), false);
      await assert.rejects(datastore.hash('a/out'), /nothing lies at a\/out/);
      // Other content: it is refused, since the folder that was decided is there now.
      await assert.rejects(datastore.publish(await folderOf(t, { other: 'x' }), 'a/out'), /exists with other content/);
      assert.deepEqual(await datastore.list(''), ['a/out/one', 'a/out/three', 'a/out/two']);
      await datastore.publish(await folderOf(t, files), 'a/out');
      assert.deepEqual(await blobNames(datastore.container), [
        'a/out/.fedrad-folder',
        'a/out/one',
        'a/out/three',
        'a/out/two',
      ]);
    }
  },
);

test('of several that publish different folders at once one wins, whole; with replace the last', skip, async (t) => {
  const datastore = await openNew(t);
  const contents = ['1', '2', '3'].map((text) => ({ same: text, [`own${text}`]: text }));
  const publishAll = async (replace: boolean) =>
    Promise.allSettled(
      contents.map(async (files) => datastore.publish(await folderOf(t, files), 'a/out', { replace })),
    );
  const wins = async (): Promise<string> => {
    const target = join(await temporaryFolder(t), 'copy');
    await datastore.fetch('a/out', target);
    const winner = await readFile(join(target, 'same'), 'utf8');
    assert.deepEqual((await readdir(target)).sort(), [`own${winner}`, 'same']);
    return winner;
  };
  const first = await publishAll(false);
  const winner = await wins();
  assert.deepEqual(
    first.map(({ status }) => status),
    contents.map(({ same }) => (same === winner ? 'fulfilled' : 'rejected')),
  );
  for (const result of first) {
    if (result.status === 'rejected') assert.match(String(result.reason), /a\/out exists with other content/);
  }
  assert.ok((await publishAll(true)).every(({ status }) => status === 'fulfilled'));
  await wins();
});

test('a folder whose removal was killed is gone, and its place is free', skip, async (t) => {
  const datastore = await openNew(t);
  await datastore.publish(await folderOf(t, { one: '1', two: '2' }), 'out');
  const killed = openBlobDatastore(
    'demo',
    dying(datastore.container, (call, name) => call === 'delete' && name === 'out/two'),
  );
  await assert.rejects(killed.remove('out'), /killed/);
  assert.deepEqual(await datastore.list(''), []);
  await datastore.publish(await folderOf(t, { two: 'new' }), 'out');
  assert.deepEqual(await datastore.list(''), ['out/two']);
});

test('what Azure ML or somebody else has written is read as it is', skip, async (t) => {
  const datastore = await openNew(t);
  const { container } = datastore;
  const put = (name: string, text: string, metadata: Record<string, string> = {}) =>
    container.getBlockBlobClient(name).upload(text, Buffer.byteLength(text), { metadata });
  await put('run/model', '', { hdi_isfolder: 'true' });
  await put('run/model/weights', 'w');
  await put('run/model/sub/card', 'c');
  assert.deepEqual(await datastore.list('run'), ['run/model/sub/card', 'run/model/weights']);
  const same = await folderOf(t, { weights: 'w' });
  await mkdir(join(same, 'sub'));
  await writeFile(join(same, 'sub', 'card'), 'c');
  const target = join(await temporaryFolder(t), 'copy');
  const content = await datastore.fetch('run/model', target);
  assert.deepEqual(await datastore.hash('run/model'), content);
  assert.deepEqual(await datastore.publish(same, 'run/model'), content);
  // Into a folder that was published, and in the place of one of its files.
  await datastore.publish(await folderOf(t, { one: '1', two: '2' }), 'out');
  await put('out/three', '3');
  await put('out/one', 'changed');
  assert.deepEqual(await datastore.list('out'), ['out/one', 'out/three', 'out/two']);
  await datastore.publish(await folderOf(t, { one: '1' }), 'out', { replace: true });
  assert.deepEqual(await blobNames(container), [
    'out/.fedrad-folder',
    'out/one',
    'run/model',
    'run/model/sub/card',
    'run/model/weights',
  ]);
  await put('bad//name', 'x');
  await assert.rejects(datastore.fetch('bad', target), /path "bad\/\/name": it holds an empty name/);
});

test('content that is not what was published is refused, and nothing is left of it', skip, async (t) => {
  const datastore = await openNew(t);
  await datastore.publish(join(await folderOf(t, { one: '1' }), 'one'), 'out');
  const blob = datastore.container.getBlockBlobClient('out');
  const { metadata = {} } = await blob.getProperties();
  await blob.upload('2', 1, { metadata });
  const parent = await temporaryFolder(t);
  await assert.rejects(datastore.fetch('out', join(parent, 'copy')), /out is damaged: its SHA-256 is not the one/);
  assert.deepEqual(await readdir(parent), []);
});

test('a container that is not there is one line', skip, async (t) => {
  const { container } = await openNew(t);
  await container.delete();
  const datastore = openBlobDatastore('demo', container);
  await assert.rejects(datastore.list(''), /^FedradError: datastore "demo": not found: The specified container/);
  const file = join(await folderOf(t, { one: '1' }), 'one');
  await assert.rejects(datastore.publish(file, 'out'), /^FedradError: datastore "demo": not found: /);
  assert.equal(await readFile(file, 'utf8'), '1');
});
