/** @file A full disk, told in one line with the numbers that help. */
import { statfs } from 'node:fs/promises';
import { fail } from '../base/index.ts';

/** Bytes that this user may still write in a folder. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

export const isDiskFull = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOSPC';

/** Throws the error of a full disk; `needed` says how many bytes, in words. */
export async function failDiskFull(where: string, folder: string, needed: string, cause?: unknown): Promise<never> {
  return fail(
    where,
    `disk full: needs ${needed} bytes in ${folder}, ${await freeBytes(folder)} are free`,
    'free some space, or choose a folder on a larger disk',
    cause,
  );
}
