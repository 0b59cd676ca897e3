/** @file What a disk refuses, told in one line: with the numbers that help, and without the names of images. */
import { statfs } from 'node:fs/promises';
import { FULL_DISK, fail, messageOf } from '../base/index.ts';

/** Bytes that this user may still write in a folder. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** The `code` of a system error (`ENOENT`), if it is one. */
export const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

export const isDiskFull = (error: unknown): boolean => codeOf(error) === 'ENOSPC';

/** Throws the error of a full disk; `needed` says how many bytes, in words. */
export async function failDiskFull(where: string, folder: string, needed: string, cause?: unknown): Promise<never> {
  return fail(
    where,
    `${FULL_DISK}: needs ${needed} bytes in ${folder}, ${await freeBytes(folder)} are free`,
    'free some space, or choose a folder on a larger disk',
    cause,
  );
}

/**
 * The message of an error of the file system without the paths in it (`ENOENT: no such file or directory`): the name
 * of an image may be that of a patient, and messages leave the hospital.
 */
export const withoutPath = (error: unknown): string => {
  const syscall = error instanceof Error && 'syscall' in error ? `, ${String(error.syscall)}` : undefined;
  return syscall === undefined ? messageOf(error) : messageOf(error).split(syscall)[0]!;
};
