/**
 * @file Writing to a disk that may fill up or lose power: whole files or none, and one clear line when space is short.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { FULL_DISK, fail } from '../base/index.ts';

/** Files and folders of this name are unfinished work of fedrad: never listed, never addressable, free to be deleted. */
export const UNFINISHED = '.fedrad-';

/** A fresh name beside `path`, on the same file system, so that a rename into place is atomic. */
export const besidePath = (path: string): string => join(dirname(path), `${UNFINISHED}${randomUUID()}`);

/** The `code` of a system error (`ENOENT`), if it is one. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** Writes a file of mode 0600 beside its place, flushes it, and renames it: readers see the old content or the new. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  const unfinished = besidePath(path);
  await explainFullDisk(path, dirname(path), content.length, async () => {
    try {
      await writeNewFile(unfinished, content);
      await rename(unfinished, path);
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    }
  });
  await flushFolder(dirname(path));
}

/** Writes and flushes a file of mode 0600 that must not exist yet. */
export async function writeNewFile(path: string, content: string | Uint8Array): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(content);
  await file.sync();
}

/** Makes the names in a folder survive a power cut. Windows has no such call, and orders them itself. */
export async function flushFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  await using handle = await open(folder, 'r');
  await handle.sync();
}

/**
 * Makes a folder of mode 0700, and those above it. One by one: Node's recursive `mkdir` never ends where a folder
 * exists that takes no entries, such as /proc.
 *
 * @throws FedradError where the nearest existing parent is not a folder that this user may write to
 */
export async function makePrivateFolder(path: string): Promise<void> {
  const missing: string[] = [];
  let existing = resolve(path);
  while ((await isFolder(existing)) === undefined) {
    missing.unshift(existing);
    existing = dirname(existing);
  }
  for (const folder of missing) {
    try {
      await mkdir(folder, { mode: 0o700 });
    } catch (error) {
      // Another process made it first.
      if (codeOf(error) === 'EEXIST' && (await isFolder(folder))) continue;
      refuseFolder(path, dirname(folder), error);
    }
  }
  if (missing.length === 0 && !(await isFolder(existing))) refuseFolder(path, existing);
}

/** Whether a folder lies there; undefined for nothing. */
async function isFolder(path: string): Promise<boolean | undefined> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    // Something on the way is not a folder, or may not be searched: making what is below it will say so.
    if (codeOf(error) === 'ENOTDIR' || codeOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

function refuseFolder(path: string, parent: string, cause?: unknown): never {
  if (['ENOSPC', 'EDQUOT'].includes(codeOf(cause) ?? '')) throw cause;
  const problem = `expected a folder that this user can write to, got ${parent}`;
  return fail(path, codeOf(cause) ? `${problem} (${codeOf(cause)})` : problem, 'choose another folder', cause);
}

/**
 * Runs an action that needs about `neededBytes` on the disk of `folder`; a full disk or quota becomes one line with
 * the needed and the free space.
 */
export async function explainFullDisk<T>(
  where: string,
  folder: string,
  neededBytes: number,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '')) throw error;
    const { bavail, bsize } = await statfs(folder);
    return fail(
      where,
      `${FULL_DISK}: ${formatBytes(neededBytes)} needed, ${formatBytes(bavail * bsize)} free`,
      'free some space and run the command again; nothing was changed',
      error,
    );
  }
}

/** Bytes in the unit a person would use: `103 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** unit).toPrecision(3))} ${units[unit]}`;
}
