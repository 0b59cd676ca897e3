/**
 * @file A small disk for a test: a tmpfs that can be filled to its last byte and freed again. Needs root; where nothing can be mounted the
 * folder stays on the machine's disk, which no test fills.
 */
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type Cleanup, runTool, toolWorks } from './tool.ts';

export interface Disk {
  readonly folder: string;
  /** Takes all that is free; gives how many bytes. Undefined where the disk is not our own. */
  readonly fill: (() => number) | undefined;
  readonly free: () => void;
}

const FILLER = 'filler';
/** Files that others remove meanwhile leave room again. */
const FILL_ROUNDS = 5;

/** Makes the folder, on a disk of its own of so many MB where that is possible. */
export function openDisk(t: Cleanup, folder: string, megabytes: number): Disk {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (
    process.getuid?.() !== 0 ||
    !toolWorks('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', folder)
  )
    return { folder, fill: undefined, free: () => {} };
  // Lazily: a process that was killed a moment ago may still hold a file.
  t.after(() => void runTool('umount', ['--lazy', folder]));
  const filler = (round: number): string => join(folder, `${FILLER}-${round}`);
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  };
  return {
    folder,
    fill: () => {
      let filled = 0;
      for (let round = 0; round < FILL_ROUNDS; round++) {
        const bytes = freeBytes();
        // What a neighbour took since then makes this fail; the next round sees how much there is.
        if (bytes > 0 && toolWorks('fallocate', '-l', String(bytes), filler(round))) filled += bytes;
      }
      return filled;
    },
    free: () => {
      for (let round = 0; round < FILL_ROUNDS; round++) rmSync(filler(round), { force: true });
    },
  };
}
