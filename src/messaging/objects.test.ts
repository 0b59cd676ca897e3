/** @file Objects over a real nats-server: what arrives, what is not sent twice, and what kills and damage do to it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { hashContent } from '../workspace/index.ts';
import { openObjects, prepareBucket } from './objects.ts';
import { partialPath } from './objects-fetch.ts';
import { startServer } from './objects-testing.ts';
import type { Transfer } from './objects-testing-process.ts';
import { CHUNK_BYTES, chunkSubject, ObjectDamaged, ObjectMissing } from './objects-wire.ts';
import { MODELS_BUCKET, updatesBucket } from './subjects.ts';
import { skipWithoutNats, startFederation } from './testing.ts';

const skip = skipWithoutNats;

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

const openAll = async (context: TestContext) => {
  const server = await startServer(context);
  const nc = await server.connect();
  await prepareBucket(nc, 'b');
  return { server, nc, objects: openObjects(nc), folder: await openFolder(context) };
};

test('a file and a folder arrive as they are, and are not sent twice', { skip }, async (context) => {
  const { nc, objects, folder } = await openAll(context);
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
  const { nc, objects, folder } = await openAll(context);
  const model = await makeModel(join(folder, 'model'), 2 * CHUNK_BYTES);
  const hash = await hashContent(model);
  for (const run of ['run', 'run2']) await objects.put('b', run, model, hash);
  await objects.forget('b', 'run');
  assert.equal(await objects.has('b', 'run', hash.sha256), false);
  await objects.get('b', 'run2', hash, join(folder, 'out'));
  await objects.forget('b', 'run2');
  assert.equal((await (await jetstreamManager(nc)).streams.info('OBJ_b')).state.messages, 0);
});

/** Starts the transfer and kills it when so many bytes are there; true when it was killed before its end. */
async function killAt(transfer: Transfer, bytes: number): Promise<boolean> {
  const program = join(import.meta.dirname, 'objects-testing-process.ts');
  const child = spawn(process.execPath, [program, JSON.stringify(transfer)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let ended = false;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'end') ended = true;
    else if (Number(line) >= bytes) child.kill('SIGKILL');
  }
  await exited;
  return !ended;
}

const MODEL_BYTES = 40 * CHUNK_BYTES + 123;

test('a sender killed at any point goes on where it was', { skip }, async (context) => {
  const { server, nc, objects, folder } = await openAll(context);
  const path = await makeModel(join(folder, 'model'), MODEL_BYTES);
  const hash = await hashContent(path);
  const transfer = { port: server.port, way: 'put', bucket: 'b', run: 'run', path, hash } as const;
  const stored = async (): Promise<number> => {
    const { state } = await (await jetstreamManager(nc)).streams.info('OBJ_b');
    return state.messages;
  };
  let before = 0;
  for (const chunks of [1, 7, 20, 35]) {
    assert.equal(await killAt(transfer, chunks * CHUNK_BYTES), true);
    const after = await stored();
    assert.ok(after >= chunks && after >= before, `${after} messages after ${chunks} chunks, before ${before}`);
    before = after;
    assert.equal(await objects.has('b', 'run', hash.sha256), false);
  }
  const progress: number[] = [];
  await objects.put('b', 'run', path, hash, { onProgress: (done) => void progress.push(done) });
  // The description of the empty file before it is among them.
  const first = progress.find((done) => done > 0)!;
  assert.ok(first >= (before - 1) * CHUNK_BYTES, `went on from ${first}, ${before} messages were there`);
  // Every chunk once, and each of the files' and the list's descriptions.
  assert.equal(await stored(), 41 + 1 + 1 + 4);
  await objects.get('b', 'run', hash, join(folder, 'out'));
  assert.deepEqual(await hashContent(join(folder, 'out')), hash);
});

test('a reader killed at any point goes on where it was', { skip }, async (context) => {
  const { server, objects, folder } = await openAll(context);
  const model = await makeModel(join(folder, 'model'), MODEL_BYTES);
  const hash = await hashContent(model);
  await objects.put('b', 'run', model, hash);
  const path = join(folder, 'out');
  const transfer = { port: server.port, way: 'get', bucket: 'b', run: 'run', path, hash } as const;
  for (const chunks of [2, 15, 30]) {
    assert.equal(await killAt(transfer, chunks * CHUNK_BYTES), true);
    await assert.rejects(stat(path), /ENOENT/);
  }
  const progress: number[] = [];
  await objects.get('b', 'run', hash, path, { onProgress: (done) => void progress.push(done) });
  // What the files before it hold, then the chunks that were kept.
  const first = progress.find((done) => done > 1000)!;
  assert.ok(first >= 29 * CHUNK_BYTES, `went on from ${first}`);
  assert.deepEqual(await hashContent(path), hash);
  assert.deepEqual((await readdir(folder)).sort(), ['model', 'out']);
});

test('nats-server is killed again and again while objects are sent and fetched', { skip }, async (context) => {
  const { server, objects, folder } = await openAll(context);
  const model = await makeModel(join(folder, 'model'), MODEL_BYTES);
  const hash = await hashContent(model);
  /** Kills the server each time that so many more chunks have moved. */
  const killing = () => {
    let next = 4 * CHUNK_BYTES;
    let restart: Promise<void> | undefined;
    return {
      kills: 0,
      restarted: async () => restart,
      onProgress(done: number) {
        if (restart !== undefined || done < next) return;
        this.kills++;
        restart = (async () => {
          await server.kill();
          await server.start();
          next = done + 9 * CHUNK_BYTES;
          restart = undefined;
        })();
      },
    };
  };
  for (const run of ['first', 'second']) {
    for (const way of ['put', 'get'] as const) {
      const chaos = killing();
      const options = { onProgress: (done: number) => chaos.onProgress(done) };
      if (way === 'put') await objects.put('b', run, model, hash, options);
      else await objects.get('b', run, hash, join(folder, run), options);
      await chaos.restarted();
      assert.ok(chaos.kills >= 2, `${chaos.kills} kills`);
    }
    assert.deepEqual(await hashContent(join(folder, run)), hash);
  }
});

test('what lies damaged on the disk is noticed and fetched anew', { skip }, async (context) => {
  const { objects, folder } = await openAll(context);
  const input = join(folder, 'in');
  await writeFile(input, randomBytes(5 * CHUNK_BYTES + 9));
  const hash = await hashContent(input);
  const content = await readFile(input);
  await objects.put('b', 'run', input, hash);
  const path = join(folder, 'out');
  const flipped = Buffer.from(content);
  flipped[CHUNK_BYTES + 3]! ^= 1;
  const damages: Readonly<Record<string, Uint8Array>> = {
    cut: content.subarray(0, 2 * CHUNK_BYTES + 77),
    flipped: flipped.subarray(0, 3 * CHUNK_BYTES),
    'whole, but flipped': flipped,
    whole: content,
    longer: Buffer.concat([content, Buffer.alloc(10)]),
    empty: new Uint8Array(),
  };
  for (const [name, bytes] of Object.entries(damages)) {
    await writeFile(partialPath(path, hash.sha256), bytes);
    await objects.get('b', 'run', hash, path);
    assert.deepEqual(await readFile(path), content, name);
    await rm(path);
    await writeFile(path, bytes);
    await objects.get('b', 'run', hash, path);
    assert.deepEqual(await readFile(path), content, `${name}, in place`);
    await rm(path);
  }
  assert.deepEqual(await readdir(folder), ['in']);
});

test('a damaged object is named, and can be put again', { skip }, async (context) => {
  const { nc, objects, folder } = await openAll(context);
  const model = await makeModel(join(folder, 'model'), 3 * CHUNK_BYTES);
  const hash = await hashContent(model);
  const file = await hashContent(join(model, 'model.safetensors'));
  const path = join(folder, 'out');
  const { streams } = await jetstreamManager(nc);
  const subject = chunkSubject({ bucket: 'b', run: 'run', sha256: file.sha256 }, CHUNK_BYTES, 1);
  const damages = [
    () => nc.request(subject, new Uint8Array(CHUNK_BYTES)),
    () => nc.request(subject, new Uint8Array(7)),
    () => streams.purge('OBJ_b', { filter: subject }),
  ];
  // Whoever only knows the folder forgets that.
  const known = [file.sha256, hash.sha256];
  for (const [damage, forgotten] of damages.flatMap((each) => known.map((sha256) => [each, sha256] as const))) {
    await objects.put('b', 'run', model, hash);
    await damage();
    await assert.rejects(objects.get('b', 'run', hash, path), (error: unknown) => {
      assert.ok(error instanceof ObjectDamaged || error instanceof ObjectMissing);
      assert.equal(error.sha256, file.sha256);
      assert.match(error.message, /object [0-9a-f]{12} of run run in bucket b: /);
      return true;
    });
    await assert.rejects(stat(path), /ENOENT/);
    await objects.forget('b', 'run', forgotten);
    assert.equal(await objects.has('b', 'run', hash.sha256), false);
    await objects.put('b', 'run', model, hash);
    await objects.get('b', 'run', hash, path);
    assert.deepEqual(await hashContent(path), hash);
    await rm(path, { recursive: true });
  }
});

test('a server that stays away ends the call by idle time, with what to do; a signal ends it at once', {
  skip,
}, async (context) => {
  const { server, nc, folder } = await openAll(context);
  const input = join(folder, 'in');
  await writeFile(input, randomBytes(30 * CHUNK_BYTES));
  const hash = await hashContent(input);
  const objects = openObjects(nc, { idleTimeoutMs: 500 });
  await assert.rejects(
    objects.put('nosuch', 'run', input, hash),
    /bucket nosuch: nothing moved for .*is there such a bucket.*\(check that nats-server runs/,
  );
  const stop = new AbortController();
  await assert.rejects(
    openObjects(nc).put('b', 'run', input, hash, {
      signal: stop.signal,
      onProgress: (done) => done > 0 && stop.abort(new Error('stop')),
    }),
    /^Error: stop$/,
  );
  await server.kill();
  await assert.rejects(objects.put('b', 'run', input, hash), /sending, run run, bucket b: nothing moved for /);
});

test('a hospital sends to its own bucket, only reads the models, and gets at nothing of another', {
  skip,
}, async (context) => {
  const { federation, hospitals } = await startFederation(context, { silos: 2 });
  const folder = await openFolder(context);
  const model = await makeModel(join(folder, 'model'), 2 * CHUNK_BYTES);
  const hash = await hashContent(model);
  const orchestrator = await federation.connect('test');
  context.after(() => orchestrator.close());
  const [own, other] = hospitals.map(({ compute }) => updatesBucket(compute)) as [string, string];
  for (const bucket of [MODELS_BUCKET, own, other]) await prepareBucket(orchestrator, bucket);
  const lead = openObjects(orchestrator);
  for (const bucket of [MODELS_BUCKET, other]) await lead.put(bucket, 'run', model, hash);
  const connection = await hospitals[0]!.membership.connect('test');
  context.after(() => connection.close());
  const silo = openObjects(connection);
  await silo.get(MODELS_BUCKET, 'run', hash, join(folder, 'fetched'));
  assert.deepEqual(await hashContent(join(folder, 'fetched')), hash);
  assert.equal(await silo.has(own, 'run', hash.sha256), false);
  await silo.put(own, 'run', model, hash);
  await lead.get(own, 'run', hash, join(folder, 'update'));
  assert.deepEqual(await hashContent(join(folder, 'update')), hash);
  await silo.forget(own, 'run');
  assert.equal(await lead.has(own, 'run', hash.sha256), false);
  const refused = /these credentials do not allow publish/;
  await assert.rejects(silo.get(other, 'run', hash, join(folder, 'x')), refused);
  await assert.rejects(silo.has(other, 'run', hash.sha256), refused);
  await assert.rejects(silo.put(MODELS_BUCKET, 'run2', model, hash), refused);
  await assert.rejects(silo.forget(MODELS_BUCKET, 'run'), refused);
  assert.equal(await lead.has(MODELS_BUCKET, 'run', hash.sha256), true);
});
