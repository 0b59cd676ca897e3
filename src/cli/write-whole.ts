/** @file Writes a file that the user named: whole or not at all. */
import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fail } from '../base/index.ts';

/**
 * Writes pieces beside `path`, then renames; what lay there is replaced, but for a pipe or a device (/dev/stdout), which is
 * written to. Throws FedradError where that cannot be done.
 */
export async function writeWhole(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  const unfinished = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  try {
    const there = await stat(path).catch(() => undefined);
    if (there && !there.isFile() && !there.isDirectory()) return await writeFile(path, pieces);
    await writeFile(unfinished, pieces, { flush: true });
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => {});
    const { code } = error as NodeJS.ErrnoException;
    fail(path, `it cannot be written: ${code ?? error}`, REMEDIES[code ?? ''] ?? 'give another place', error);
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: 'make its folder first',
  EISDIR: 'give the name of a file',
  EACCES: 'choose a folder that this user may write to',
  EPERM: 'choose a folder that this user may write to',
  EROFS: 'choose a folder that this user may write to',
  ENOSPC: 'free space',
  EDQUOT: 'free space',
};
