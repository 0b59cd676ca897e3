/**
 * @file Moving a finished output into place. A folder cannot be replaced by one rename, so the old one is first moved
 * aside under a name that says whose it is: a kill in between leaves both, and the next publish or opening puts the
 * old one back.
 */
import { cp, lstat, rename, rm, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hashContent } from './content-hash.ts';
import { besidePath, codeOf, flushFolder, UNFINISHED } from './disk.ts';
import { waitForLock } from './file-lock.ts';

const REPLACED = `${UNFINISHED}replaced-`;

/** Where the old content of a place waits until the new one lies there. */
export const replacedPath = (place: string): string => join(dirname(place), REPLACED + basename(place));

/** The inverse of {@link replacedPath}: the name whose old content an entry of this name is, if it is one. */
export const replacedName = (name: string): string | undefined =>
  name.startsWith(REPLACED) ? name.slice(REPLACED.length) : undefined;

/**
 * Renames `finished` to `place` under a lock, because a rename alone would replace a file that another process has
 * put there. What lies there already is replaced where `mayReplace` says so, else kept; `finished` is gone afterwards.
 */
export async function moveIntoPlace(
  finished: string,
  place: string,
  lockPath: string,
  mayReplace: () => Promise<boolean>,
): Promise<void> {
  const nearby = besidePath(place);
  try {
    await bringToDisk(finished, nearby);
    using _lock = await waitForLock(lockPath, place);
    await settleReplaced(place);
    if (!(await statusOf(place))) await rename(nearby, place);
    else if (await mayReplace()) await replace(nearby, place);
  } finally {
    await rm(nearby, { recursive: true, force: true });
  }
}

/** Ends what a killed replacement left: the old content comes back where no new one lies. Only under the lock. */
export async function settleReplaced(place: string): Promise<void> {
  const old = replacedPath(place);
  if (!(await statusOf(old))) return;
  if (await statusOf(place)) await rm(old, { recursive: true, force: true });
  else await rename(old, place);
}

async function replace(nearby: string, place: string): Promise<void> {
  const statuses = await Promise.all([lstat(nearby), lstat(place)]);
  if (statuses.every((status) => status.isFile())) return rename(nearby, place);
  const old = replacedPath(place);
  await rename(place, old);
  try {
    await rename(nearby, place);
  } catch (error) {
    await rename(old, place);
    throw error;
  }
  await flushFolder(dirname(place));
  await rm(old, { recursive: true, force: true });
}

/** Renames, or copies and removes where the two places are on different file systems. */
async function bringToDisk(from: string, to: string): Promise<void> {
  // A rename keeps the time, and an old one would make it a leftover to be swept.
  const now = new Date();
  await utimes(from, now, now);
  try {
    await rename(from, to);
  } catch (error) {
    if (codeOf(error) !== 'EXDEV') throw error;
    await cp(from, to, { recursive: true });
    await hashContent(to, { flush: true });
    await rm(from, { recursive: true, force: true });
  }
}

/** What lies at a path, or undefined. */
export const statusOf = (path: string) =>
  lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  });
