/** @file Objects over a real nats-server: what arrives, what is not sent twice, and what kills and damage do to it. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { FedradError, sha256 } from '../base/index.ts';
import { hashContent } from '../workspace/index.ts';
import { type Objects, openObjects, prepareBucket } from './objects.ts';
import { startServer } from './objects-testing.ts';
import { CHUNK_BYTES, chunkSubject, ObjectDamaged, ObjectMissing } from './objects-wire.ts';

const skip =
  spawnSync('nats-server', ['--version'], { env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` } })
    .status === 0
    ? false
    : 'nats-server is not installed';

async function openFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-objects-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A model as a step leaves it. */
async function makeModel(folder: string, bytes: number): Promise<string> {
  await mkdir(join(folder, 'deep', 'er'), { recursive: true });
  await writeFile(join(folder, 'model.safetensors'), randomBytes(bytes));
  await writeFile(join(folder, 'update.json'), '{"silo":"silo0","examples":7}\n');
  await writeFile(join(folder, 'deep', 'er', 'empty'), '');
  return folder;
}

const open2 = async (context: TestContext) => {
  const server = await startServer(context);
  const nc = await server.connect();
  await prepareBucket(nc, 'b');
  return { server, nc, objects: openObjects(nc), folder: await openFolder(context) };
};

test('a file and a folder arrive as they are, and are not sent twice', { skip }, async (context) => {
  const { nc, objects, folder } = await open2(context);
  await prepareBucket(nc, 'b');
  const messages = async (): Promise<number> =>
    (await (await jetstreamManager(nc)).streams.info('OBJ_b')).state.messages;
  for (const bytes of [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 5 * CHUNK_BYTES + 1]) {
    const path = join(folder, `in-${bytes}`);
    await writeFile(path, randomBytes(bytes));
    const hash = await hashContent(path);
    await assert.rejects(objects.get('b', 'run', hash, join(folder, 'out')), ObjectMissing);
    const progress: number[] = [];
    await objects.put('b', 'run', path, hash, { onProgress: (done) => void progress.push(done) });
    assert.equal(progress.at(-1), bytes);
    const there = await messages();
    await objects.put('b', 'run', path, hash);
    assert.equal(await messages(), there);
    await objects.get('b', 'run', hash, join(folder, 'out'));
    assert.deepEqual(await readFile(join(folder, 'out')), await readFile(path));
  }
  const model = await makeModel(join(folder, 'model'), 3 * CHUNK_BYTES + 5);
  const hash = await hashContent(model);
  assert.equal(await objects.has('b', 'run', hash.sha256), false);
  await objects.put('b', 'run', model, hash);
  assert.equal(await objects.has('b', 'run', hash.sha256), true);
  assert.equal(await objects.has('b', 'run2', hash.sha256), false);
  // Over a file that lies there.
  await objects.get('b', 'run', hash, join(folder, 'out'));
  assert.deepEqual(await hashContent(join(folder, 'out')), hash);
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.startsWith('.')),
    [],
  );
});

test('a run is forgotten with all its objects, another run stays', { skip }, async (context) => {
  const { nc, objects, folder } = await open2(context);
  const model = await makeModel(join(folder, 'model'), 2 * CHUNK_BYTES);
  const hash = await hashContent(model);
  for (const run of ['run', 'run2']) await objects.put('b', run, model, hash);
  await objects.forget('b', 'run');
  assert.equal(await objects.has('b', 'run', hash.sha256), false);
  await objects.get('b', 'run2', hash, join(folder, 'out'));
  await objects.forget('b', 'run2');
  assert.equal((await (await jetstreamManager(nc)).streams.info('OBJ_b')).state.messages, 0);
});
