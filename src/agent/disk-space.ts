/**
 * @file A hospital's disk that is full is no reason to fail a step of a federation: whoever can free space there is not who submitted the run.
 * The agent waits for space, and runs the step again.
 */
import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { FULL_DISK } from '../base/index.ts';
import type { End } from '../messaging/index.ts';

/** Less than this is full: logs, a journal and a model are written at once. */
const ENOUGH_BYTES = 64 * 2 ** 20;
/** Nothing can be written any more. */
const LOG_BYTES = 64 * 1024;
const LOOK_MS = 1000;

export interface DiskSpace {
  /** Whether it was for want of space that a step ended so. */
  isCause(end: End['end']): Promise<boolean>;
  /** Waits until there is space; returns false after `ms`, or when `signal` comes. */
  wait(ms: number, signal: AbortSignal): Promise<boolean>;
}

/** Of the disk that `folder` lies on. */
export function openDiskSpace(folder: string): DiskSpace {
  const freeBytes = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  };
  return {
    isCause: async (end) => {
      if (end.kind !== 'refused' && end.kind !== 'crashed') return false;
      if ([end.error, ...end.logTail].some((text) => text.includes(FULL_DISK))) return true;
      // What a program says of it that is not ours.
      return (await freeBytes()) < LOG_BYTES;
    },
    wait: async (ms, signal) => {
      for (const deadline = performance.now() + ms; performance.now() < deadline; ) {
        if (signal.aborted) return false;
        if ((await freeBytes()) >= ENOUGH_BYTES) return true;
        await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
      }
      return false;
    },
  };
}
