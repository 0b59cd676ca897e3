import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readdir, readFile, rename, rmdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { datastoreContract, HOSTILE_PATHS } from './datastore-contract.ts';
import { openDirectoryDatastore } from './directory-datastore.ts';
import { besidePath, formatBytes, UNFINISHED, writeFileAtomic } from './disk.ts';
import { replacedPath } from './into-place.ts';
import { temporaryFolder } from './testing.ts';

datastoreContract('directory', async (t) => openDirectoryDatastore('demo', join(await temporaryFolder(t), 'root')), {
  leftovers: async (datastore) => {
    const paths = await readdir(dirname(datastore.localPath('a')), { recursive: true });
    return paths.filter((path) => basename(path).startsWith(UNFINISHED) && path !== `${UNFINISHED}lock`);
  },
});

test('no path on disk leads out', async (t) => {
  const datastore = await openDirectoryDatastore('demo', join(await temporaryFolder(t), 'root'));
  for (const path of HOSTILE_PATHS) {
    assert.throws(() => datastore.localPath(path), { name: 'FedradError', message: /^datastore ".*": path ".*": / });
  }
});

test('a link that leads out is refused, also one that leads nowhere; one that stays inside is followed', async (t) => {
  const folder = await temporaryFolder(t);
  const root = join(folder, 'root');
  const datastore = await openDirectoryDatastore('demo', root);
  await mkdir(join(folder, 'root-of-another'));
  await writeFile(join(folder, 'root-of-another', 'image'), 'x');
  await mkdir(join(root, 'inside'));
  await writeFile(join(root, 'inside', 'image'), 'x');
  await symlink(join(folder, 'root-of-another'), join(root, 'out'));
  await symlink(join(folder, 'not-yet'), join(root, 'nowhere'));
  await symlink('inside', join(root, 'alias'));
  for (const path of ['out', 'out/image', 'out/new', 'nowhere']) {
    assert.throws(
      () => datastore.localPath(path),
      /the symbolic link ".*" leads out of the datastore \(remove the link\)/,
    );
    await assert.rejects(datastore.remove(path), /leads out of the datastore/);
  }
  assert.equal(await readFile(datastore.localPath('alias/image'), 'utf8'), 'x');
  assert.deepEqual(await readdir(join(folder, 'root-of-another')), ['image']);
});

test('an output with a link in it is refused: the next step would read through it', async (t) => {
  const datastore = await openDirectoryDatastore('demo', join(await temporaryFolder(t), 'root'));
  const folder = await temporaryFolder(t);
  await symlink('/etc/passwd', join(folder, 'model'));
  await assert.rejects(datastore.publish(folder, 'out'), /expected a file or a folder, got a symbolic link/);
  await assert.rejects(datastore.publish(join(folder, 'model'), 'out'), /got a symbolic link/);
  assert.deepEqual(await datastore.list(''), []);
});

test('a replacement killed between its two renames: the next publish finds the old output back in its place', async (t) => {
  const root = join(await temporaryFolder(t), 'root');
  const datastore = await openDirectoryDatastore('demo', root);
  const publishText = async (text: string, options = {}) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, 'text'), text);
    return datastore.publish(folder, 'out', options);
  };
  const killed = async () => rename(join(root, 'out'), replacedPath(join(root, 'out')));
  await publishText('old');
  await killed();
  assert.deepEqual(await datastore.list(''), []);
  await assert.rejects(publishText('new'), /out exists with other content/);
  assert.equal(await readFile(join(root, 'out/text'), 'utf8'), 'old');
  await killed();
  await publishText('new', { replace: true });
  assert.equal(await readFile(join(root, 'out/text'), 'utf8'), 'new');
  await killed();
  await datastore.remove('out');
  assert.deepEqual(await readdir(root), ['.fedrad-lock']);
});

test('unfinished work is never listed, and what is older than a day is gone when the datastore is opened', async (t) => {
  const root = join(await temporaryFolder(t), 'root');
  await mkdir(join(root, 'runs', '1'), { recursive: true });
  const [old, young] = [besidePath(join(root, 'runs', '1', 'out')), besidePath(join(root, 'out'))];
  const hours = (count: number) => new Date(Date.now() - count * 3_600_000);
  for (const [folder, time] of [
    [old, hours(25)],
    [young, hours(23)],
  ] as const) {
    await mkdir(folder);
    await writeFile(join(folder, 'half'), 'half');
    await utimes(folder, time, time);
  }
  await writeFile(join(root, 'runs', '1', 'whole'), 'whole');
  await writeFile(join(root, '.fedrad-lock'), '');
  for (const kept of ['runs/1/whole', '.fedrad-lock']) await utimes(join(root, kept), hours(99), hours(99));
  const datastore = await openDirectoryDatastore('demo', root);
  assert.deepEqual(await datastore.list(''), ['runs/1/whole']);
  assert.deepEqual(await readdir(join(root, 'runs', '1')), ['whole']);
  assert.deepEqual((await readdir(root)).sort(), ['.fedrad-lock', basename(young), 'runs'].sort());
});

test('a datastore that is opened puts back what a killed replacement moved aside', async (t) => {
  const root = join(await temporaryFolder(t), 'root');
  await mkdir(root);
  await writeFile(replacedPath(join(root, 'lost')), 'old');
  await writeFile(replacedPath(join(root, 'done')), 'old');
  await writeFile(join(root, 'done'), 'new');
  const datastore = await openDirectoryDatastore('demo', root);
  assert.deepEqual((await readdir(root)).sort(), ['.fedrad-lock', 'done', 'lost']);
  assert.equal(await readFile(datastore.localPath('lost'), 'utf8'), 'old');
  assert.equal(await readFile(datastore.localPath('done'), 'utf8'), 'new');
});

test('an output of many files keeps its hash whatever the order they were made in', async (t) => {
  const datastore = await openDirectoryDatastore('demo', join(await temporaryFolder(t), 'root'));
  const names = Array.from({ length: 50 }, (_, index) => `image ${index}.png`);
  const publishAll = async (order: readonly string[], path: string) => {
    const folder = await temporaryFolder(t);
    for (const name of order) await writeFile(join(folder, name), name.repeat(1000));
    return datastore.publish(folder, path);
  };
  assert.deepEqual(await publishAll(names, 'a'), await publishAll(names.toReversed(), 'b'));
  assert.notEqual((await publishAll(names.slice(1), 'c')).sha256, (await datastore.hash('a')).sha256);
});

/** Mounts a file system of `size` bytes in memory; undefined where this user may not. */
async function smallDisk(t: TestContext, size: number): Promise<string | undefined> {
  const disk = await mkdtemp(join(tmpdir(), 'fedrad-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk]);
  t.after(async () => {
    if (status === 0) spawnSync('umount', [disk]);
    await rmdir(disk);
  });
  return status === 0 ? disk : undefined;
}

test('a full disk gives one line with the needed and the free space, and leaves nothing half done', async (t) => {
  const disk = await smallDisk(t, 1 << 20);
  if (disk === undefined) return t.skip('this user may not mount a small disk');
  const datastore = await openDirectoryDatastore('demo', join(disk, 'root'));
  const output = join(await temporaryFolder(t), 'model');
  await writeFile(output, Buffer.alloc(3_000_000));
  await assert.rejects(datastore.publish(output, 'model'), {
    message:
      /^datastore "demo": the disk is full: 3 MB needed, 1\.0\d MB free \(free some space and run the command again; nothing was changed\)$/,
  });
  assert.equal((await readFile(output)).length, 3_000_000);
  assert.deepEqual(await readdir(join(disk, 'root')), []);

  const small = join(await temporaryFolder(t), 'small');
  await writeFile(small, Buffer.alloc(500_000));
  await datastore.publish(small, 'small');
  const vault = join(disk, 'vault.json');
  await writeFileAtomic(vault, 'old');
  await assert.rejects(writeFileAtomic(vault, Buffer.alloc(900_000)), /the disk is full: 900 kB needed, \d+ kB free/);
  assert.equal(await readFile(vault, 'utf8'), 'old');
});

test('an output on another disk is copied, then renamed into place', async (t) => {
  const disk = await smallDisk(t, 1 << 20);
  if (disk === undefined) return t.skip('this user may not mount a small disk');
  const datastore = await openDirectoryDatastore('demo', join(await temporaryFolder(t), 'root'));
  const output = join(disk, 'out');
  await mkdir(output);
  await writeFile(join(output, 'a'), 'a');
  await link(join(output, 'a'), join(output, 'b'));
  await datastore.publish(output, 'x/out');
  assert.deepEqual(await datastore.list(''), ['x/out/a', 'x/out/b']);
  assert.deepEqual(await readdir(disk), []);
});

test('sizes are written as a person would', () => {
  assert.deepEqual([0, 999, 1000, 103_134_216, 5e15].map(formatBytes), ['0 B', '999 B', '1 kB', '103 MB', '5000 TB']);
});
