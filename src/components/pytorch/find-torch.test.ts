/** @file Which Python is found and what of this machine a step in it may be shown. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findTorch } from './find-torch.ts';
import { pythonPaths } from './python-paths.ts';
import { torchHere, withoutTorch } from './testing.ts';

/** A folder with these folders in it. */
async function folderWith(context: TestContext, ...paths: string[]): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'fedrad python ')));
  context.after(() => rm(folder, { recursive: true, force: true }));
  for (const path of paths) await mkdir(join(folder, path), { recursive: true });
  return folder;
}

test('no folder that is relative, or would show the home or the current folder, is taken for one of packages', {
  skip: withoutTorch,
}, async (context) => {
  const folder = await folderWith(context, 'packages', 'home/datastores/silo1', 'project/lib');
  const [home, currentFolder] = [join(folder, 'home'), join(folder, 'project')];
  await symlink(folder, join(folder, 'packages', 'link'));
  const good = [join(folder, 'packages'), join(currentFolder, 'lib')];
  const bad = [folder, join(good[0]!, 'link'), home, join(home, 'datastores', 'silo1'), currentFolder];
  const PYTHONPATH = ['', good[0], 'usr', '.', ...bad, good[1], ''].join(delimiter);
  const found = await pythonPaths(torchHere!.python, { PYTHONPATH }, { home, currentFolder });
  assert.ok(typeof found !== 'string', String(found));
  assert.deepEqual(found.added, good);
  for (const path of ['/', '/usr', ...bad]) assert.ok(!found.read.includes(path), path);
  for (const path of good) assert.ok(found.read.includes(path), path);

  const inPackages = join(found.read.find((path) => /\/lib$/.test(path))!, 'home');
  assert.match(
    String(await pythonPaths(torchHere!.python, {}, { home: inPackages, currentFolder })),
    /python3\S* reads \S*\/lib, in which the home \S*\/lib\/home lies$/,
  );
});

test('the first python3 on the path wins, also one of a virtual environment; a sandbox is shown its folders', {
  skip: withoutTorch,
}, async (context) => {
  const folder = await folderWith(context, 'venv/bin', 'venv/lib', 'without/bin');
  const base = await realpath(torchHere!.python);
  const cfg = `home = ${dirname(base)}\ninclude-system-site-packages = true\n`;
  for (const [name, text] of [
    ['venv', cfg],
    ['without', cfg.replace('true', 'false')],
  ] as const) {
    await symlink(base, join(folder, name, 'bin', 'python3'));
    await writeFile(join(folder, name, 'pyvenv.cfg'), text);
  }
  const PATH = [join(folder, 'without', 'bin'), join(folder, 'venv', 'bin'), dirname(base)].join(delimiter);
  const { python, read, environment } = await findTorch('test', { environment: { PATH } });
  assert.equal(python, join(folder, 'venv', 'bin', 'python3'));
  assert.equal(environment['FEDRAD_PYTHON'], python);
  for (const path of ['bin', 'lib', 'pyvenv.cfg']) assert.ok(read.includes(join(folder, 'venv', path)), path);
  assert.ok(read.includes(dirname(base)), 'the Python that it was made from');
});

test('Python is asked in the environment of a step: what only its user has set does not count', {
  skip: withoutTorch,
}, async (context) => {
  const folder = await folderWith(context, 'packages/torch');
  // Found in PYTHONPATH, which a step gets; it needs LD_LIBRARY_PATH, which a step does not get.
  await writeFile(
    join(folder, 'packages', 'torch', '__init__.py'),
    'import os\nraise OSError("libcudart.so: " + os.environ.get("LD_LIBRARY_PATH", "no such file"))\n',
  );
  const environment = {
    FEDRAD_PYTHON: torchHere!.python,
    PYTHONPATH: join(folder, 'packages'),
    LD_LIBRARY_PATH: '/opt/cuda',
  };
  await assert.rejects(
    findTorch('test', { environment }),
    /does not run PyTorch \(OSError: libcudart.so: no such file\)/,
  );
});
