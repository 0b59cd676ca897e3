/**
 * @file A lock between processes that the system releases when its holder dies, also by kill -9.
 *
 * It is an exclusive transaction on an empty SQLite file: SQLite already knows how to lock a file on every system,
 * Node has no call of its own for it, and a file with a process id in it goes stale. Not for network file systems
 * that ignore locks.
 */
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { fail } from '../base/index.ts';
import { makePrivateFolder } from './disk.ts';
import { explainSqlite, isBusy } from './sqlite-errors.ts';

export interface FileLock extends Disposable {
  /** Gives the lock back; harmless when called twice. */
  release(): void;
}

const RETRY_MS = 10;

/**
 * Takes the lock, or returns undefined where somebody else, in this process or another, holds it.
 *
 * @param patienceMs blocks this process so long before giving up (default 0)
 */
export function tryLock(path: string, patienceMs = 0): FileLock | undefined {
  const database = new DatabaseSync(path, { timeout: patienceMs });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (isBusy(error)) return undefined;
    return explainSqlite(path, () => {
      throw error;
    });
  }
  const release = (): void => {
    if (database.isOpen) database.close();
  };
  return { release, [Symbol.dispose]: release };
}

/** Whether somebody holds the lock. Asking takes microseconds of it; a {@link tryLock} with patience does not notice. */
export function isHeld(path: string): boolean {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('SELECT count(*) FROM sqlite_schema');
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw error;
  } finally {
    database.close();
  }
}

/** Waits for the lock without blocking this process; fails after `timeoutMs` (default 30 s). */
export async function waitForLock(path: string, where: string, timeoutMs = 30_000): Promise<FileLock> {
  await makePrivateFolder(dirname(path));
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lock = tryLock(path);
    if (lock) return lock;
    if (performance.now() > deadline) {
      return fail(
        where,
        `another fedrad process has held it for ${timeoutMs / 1000} s`,
        'wait for it to finish, or end it, then run the command again',
      );
    }
    await setTimeout(RETRY_MS);
  }
}
