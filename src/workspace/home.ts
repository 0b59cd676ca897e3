/**
 * @file A home: the one folder that holds everything fedrad keeps. Private to its user (0700), invisible to git, and
 * marked with the version of its layout.
 */
import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fail } from '../base/index.ts';
import { codeOf, makePrivateFolder, UNFINISHED, writeFileAtomic } from './disk.ts';

const LAYOUT_VERSION = 1;

/**
 * The home's path: `home` (the option `--home`), else `FEDRAD_HOME`, else `.fedrad` in the current folder. Reads and
 * makes nothing.
 */
export function homeFolder(options: {
  readonly home?: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly currentFolder: string;
}): string {
  if (options.home === '') return fail('--home', 'expected a folder, got nothing', 'give a path, or leave it out');
  return resolve(options.currentFolder, options.home ?? (options.environment.FEDRAD_HOME || '.fedrad'));
}

/** Where things lie in a home. */
export const homePaths = (home: string) => ({
  version: join(home, 'version'),
  ignore: join(home, '.gitignore'),
  user: join(home, 'user.json'),
  history: join(home, 'runs.sqlite'),
  locks: join(home, 'locks'),
  workspaces: join(home, 'workspaces'),
});

/**
 * Whether there is a home here. Changes nothing.
 *
 * @throws FedradError when a newer fedrad made it, or when the folder holds something else
 */
export async function homeExists(home: string): Promise<boolean> {
  const names = await readdir(home).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === 'ENOTDIR') return fail(home, 'expected a folder, got a file', 'choose another with --home');
    throw error;
  });
  if (names === undefined) return false;
  if (!names.includes('version')) {
    // A fresh disk mounted as a home has lost+found; another process may be making this home right now.
    const foreign = names.find((name) => !name.startsWith(UNFINISHED) && name !== 'lost+found');
    if (foreign === undefined) return false;
    return fail(home, `not a home of fedrad: it holds "${foreign}"`, 'choose an empty or new folder with --home');
  }
  const text = (await readFile(homePaths(home).version, 'utf8')).trim();
  if (!/^\d+$/.test(text)) {
    return fail(homePaths(home).version, `expected ${LAYOUT_VERSION}, got "${text.slice(0, 20)}"`, 'restore the file');
  }
  if (Number(text) > LAYOUT_VERSION) {
    return fail(
      home,
      `a newer fedrad made this home (layout ${text}; this fedrad knows layouts up to ${LAYOUT_VERSION})`,
      'update fedrad, or choose another home with --home',
    );
  }
  return true;
}

/** Makes the home where there is none; otherwise only sees to its mode and its .gitignore. Safe to run twice at once. */
export async function prepareHome(home: string): Promise<void> {
  try {
    await makeOrMendHome(home);
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error) ?? '')) throw error;
    fail(home, 'this user cannot write there', 'choose another folder with --home', error);
  }
}

async function makeOrMendHome(home: string): Promise<void> {
  if (!(await homeExists(home))) {
    await makePrivateFolder(home);
    await writeFileAtomic(homePaths(home).version, `${LAYOUT_VERSION}\n`);
  }
  if (((await stat(home)).mode & 0o777) !== 0o700) await chmod(home, 0o700);
  const missing = await readFile(homePaths(home).ignore, 'utf8').then(
    () => false,
    (error: unknown) => codeOf(error) === 'ENOENT',
  );
  if (missing) await writeFileAtomic(homePaths(home).ignore, '*\n');
  await makePrivateFolder(homePaths(home).locks);
}
