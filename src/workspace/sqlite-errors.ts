/** @file SQLite's result codes (https://sqlite.org/rescode.html) in words a user can act on. */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { FULL_DISK, fail, messageOf } from '../base/index.ts';
import { formatBytes } from './disk.ts';

const [BUSY, LOCKED, READONLY, CORRUPT, FULL, NOTADB] = [5, 6, 8, 11, 13, 26];

/** The primary result code of an error of node:sqlite. */
const resultCode = (error: unknown): number | undefined =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;

/** Whether another connection holds what this one wanted. */
export const isBusy = (error: unknown): boolean => [BUSY, LOCKED].includes(resultCode(error) ?? 0);

/** Runs an action on the database at `path`; its errors that a user can mend become one line. */
export function explainSqlite<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    switch (resultCode(error)) {
      case BUSY:
      case LOCKED:
        return fail(path, 'another process has kept it busy', 'run the command again', error);
      case READONLY:
        return fail(path, 'it cannot be written', 'give this user write permission on the file and its folder', error);
      case CORRUPT:
      case NOTADB:
        return fail(
          path,
          `it is damaged: ${messageOf(error)}`,
          'restore it from a backup, or move it away to start an empty history; datastores and vaults are not affected',
          error,
        );
      case FULL: {
        const { bavail, bsize } = statfsSync(dirname(path));
        const free = formatBytes(bavail * bsize);
        return fail(path, `${FULL_DISK}: ${free} free`, 'free some space and run the command again', error);
      }
      default:
        throw error;
    }
  }
}
