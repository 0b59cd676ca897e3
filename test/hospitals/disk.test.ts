import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { damageOne } from './damage.ts';
import { openDisk } from './disk.ts';
import { openCleanup } from './tool.ts';

function folderOf(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fedrad-disk-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const skip = process.getuid?.() === 0 ? false : 'mounting needs root';

test('a disk of its own is full to the last byte until it is freed', { skip }, async (context) => {
  const folder = folderOf(context);
  const cleanup = openCleanup();
  const disk = openDisk(cleanup, join(folder, 'disk'), 8);
  assert.ok(disk.fill, 'a tmpfs can be mounted');
  try {
    assert.ok(disk.fill() > 7e6);
    const file = join(disk.folder, 'file');
    assert.throws(() => writeFileSync(file, Buffer.alloc(10_000)), /ENOSPC/);
    disk.free();
    writeFileSync(file, Buffer.alloc(10_000));
  } finally {
    await cleanup.undo();
  }
});

test('damage cuts a file, or changes a spot of it; the same draws do the same', (context) => {
  const folder = folderOf(context);
  const whole = Buffer.alloc(1000, 7);
  const write = (): void => {
    for (const name of ['a.part', 'b.part', 'c.whole']) writeFileSync(join(folder, name), whole);
    writeFileSync(join(folder, 'empty.part'), '');
  };
  write();
  const second = join(folder, 'b.part');
  assert.equal(damageOne(folder, ['*.part'], { how: 'cut', file: 0.6, at: 0.25 }), second);
  assert.equal(readFileSync(second).length, 250);
  write();
  assert.equal(damageOne(folder, ['*.part', 'b*'], { how: 'corrupt', file: 0.5, at: 0.99 }), second);
  const damaged = readFileSync(second);
  assert.equal(damaged.length, 1000);
  assert.deepEqual([damaged.indexOf(7 ^ 0x5a), damaged.filter((byte) => byte !== 7).length], [990, 10]);
  assert.equal(damageOne(folder, ['*.nothing'], { how: 'cut', file: 0, at: 0 }), undefined);
});
