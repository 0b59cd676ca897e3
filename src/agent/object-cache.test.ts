import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sha256 } from '../base/index.ts';
import { openObjectCache } from './object-cache.ts';

async function openFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-cache-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('what was damaged or removed since it came is fetched again, never used', async (t) => {
  const cache = openObjectCache(await openFolder(t), 1e6);
  const model = 'the weights';
  let fetched = 0;
  const take = async (): Promise<string> => {
    using held = await cache.take('run', sha256(model), model.length, async (path) => {
      fetched++;
      await writeFile(path, model);
      return true;
    });
    assert.equal(await readFile(held!.path, 'utf8'), model);
    return held!.path;
  };
  const path = await take();
  await take();
  assert.equal(fetched, 1);
  await writeFile(path, 'other words');
  await take();
  await rm(path);
  await take();
  assert.equal(fetched, 3);
});

test('what was used longest ago goes when there is no room, and nothing that is held', async (t) => {
  const cache = openObjectCache(await openFolder(t), 25);
  const take = (text: string) =>
    cache.take('run', sha256(text), text.length, async (path) => {
      await writeFile(path, text);
      return true;
    });
  using first = await take('a'.repeat(10));
  const second = (await take('b'.repeat(10)))!;
  second[Symbol.dispose]();
  await sleep(20);
  using third = await take('c'.repeat(10));
  assert.deepEqual(
    [first, second, third].map((held) => existsSync(held!.path)),
    [true, false, true],
  );
});
