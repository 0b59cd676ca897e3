import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makePrivateFolder } from './disk.ts';
import { homeExists, homeFolder, prepareHome } from './home.ts';
import { runProcess, temporaryFolder, temporaryHome } from './testing.ts';
import { signedInUser } from './user.ts';

test('the home is --home, else FEDRAD_HOME, else .fedrad here', () => {
  const currentFolder = '/tmp/here';
  assert.equal(homeFolder({ environment: {}, currentFolder }), '/tmp/here/.fedrad');
  assert.equal(homeFolder({ environment: { FEDRAD_HOME: '' }, currentFolder }), '/tmp/here/.fedrad');
  assert.equal(homeFolder({ environment: { FEDRAD_HOME: 'ä b' }, currentFolder }), '/tmp/here/ä b');
  assert.equal(homeFolder({ home: '/h', environment: { FEDRAD_HOME: '/e' }, currentFolder }), '/h');
  assert.throws(
    () => homeFolder({ home: '', environment: {}, currentFolder }),
    /^FedradError: --home: expected a folder/,
  );
});

test('a home is private, invisible to git, and made once', async (t) => {
  const home = await temporaryHome(t);
  assert.equal(await homeExists(home), false);
  await Promise.all([prepareHome(home), prepareHome(home), prepareHome(home)]);
  assert.equal(await homeExists(home), true);
  assert.equal((await stat(home)).mode & 0o777, 0o700);
  assert.equal(await readFile(join(home, '.gitignore'), 'utf8'), '*\n');
  assert.deepEqual((await readdir(home)).sort(), ['.gitignore', 'locks', 'version']);
});

test('a folder with other things in it does not become a home', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'thesis.tex'), '');
  await assert.rejects(prepareHome(folder), /not a home of fedrad: it holds "thesis.tex" \(choose an empty or new/);
  assert.deepEqual(await readdir(folder), ['thesis.tex']);
});

test('where no folder can be made a home is refused in one line', async (t) => {
  const file = join(await temporaryFolder(t), 'thesis.tex');
  await writeFile(file, '');
  await assert.rejects(makePrivateFolder(join(file, 'a', 'b')), {
    name: 'FedradError',
    message: /b: expected a folder that this user can write to, got .*thesis\.tex \(ENOTDIR\) \(choose another folder/,
  });
  await assert.rejects(makePrivateFolder(file), /expected a folder that this user can write to, got .*thesis\.tex \(/);
  if (process.platform !== 'linux') return;
  for (const home of ['/proc/x', '/proc/x/y/z']) {
    await assert.rejects(prepareHome(home), /^FedradError: \/proc\/x.*: expected a folder .* got \/proc \(/);
  }
});

test('an empty folder becomes a home and loses its open mode', async (t) => {
  const home = await temporaryHome(t);
  await mkdir(home, { mode: 0o755 });
  await prepareHome(home);
  assert.equal((await stat(home)).mode & 0o777, 0o700);
});

test('a home made by a newer fedrad is refused and left alone', async (t) => {
  const home = await temporaryHome(t);
  await mkdir(home);
  await writeFile(join(home, 'version'), '2\n');
  await assert.rejects(
    prepareHome(home),
    /a newer fedrad made this home \(layout 2; this fedrad knows layouts up to 1\)/,
  );
  await assert.rejects(signedInUser(home), /update fedrad, or choose another home with --home/);
  assert.deepEqual(await readdir(home), ['version']);
});

test('the user keeps one id, also when processes ask for it at once, and each home has its own', async (t) => {
  const [home, other] = [await temporaryHome(t), await temporaryHome(t)];
  const ask = 'console.log((await room.signedInUser(args[0])).id)';
  const ids = await Promise.all([runProcess(ask, home), runProcess(ask, home)]);
  const { id, displayName } = await signedInUser(home);
  assert.deepEqual(new Set(ids.map((each) => each.trim())), new Set([id]));
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  assert.notEqual(displayName, '');
  assert.notEqual((await signedInUser(other)).id, id);
});
