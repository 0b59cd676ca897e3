/** @file Writes files that the user named, or that go with them: all of them whole, or none. */
import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fail } from '../base/index.ts';

/**
 * Writes each file, its text or pieces by its path, beside itself, then renames all; what lay there is replaced, but for a pipe or a
 * device (/dev/stdout), which is written to. Throws FedradError where that cannot be done; whatever has no room or no right to be
 * written leaves all files as they were.
 */
export async function writeWhole(files: Readonly<Record<string, string | Iterable<Uint8Array>>>): Promise<void> {
  const unfinished = (path: string): string => join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  const staged: string[] = [];
  let current = '';
  try {
    for (const [path, pieces] of Object.entries(files)) {
      current = path;
      const there = await stat(path).catch(() => undefined);
      // Its rename would fail, after those before it.
      if (there?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
      if (there && !there.isFile()) {
        await writeFile(path, pieces);
        continue;
      }
      staged.push(path);
      await writeFile(unfinished(path), pieces, { flush: true });
    }
    for (const path of staged) {
      current = path;
      await rename(unfinished(path), path);
    }
  } catch (error) {
    for (const path of staged) await rm(unfinished(path), { force: true }).catch(() => {});
    const { code } = error as NodeJS.ErrnoException;
    fail(current, `it cannot be written: ${code ?? error}`, REMEDIES[code ?? ''] ?? 'give another place', error);
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
