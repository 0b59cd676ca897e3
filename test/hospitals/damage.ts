/**
 * @file Damage to a file as a crash or a bad disk leaves it: its end is missing, or some of its bytes are others. Which file, and where
 * in it, is a draw from 0 to 1, so that a seeded test repeats it.
 */
import { closeSync, fsyncSync, globSync, openSync, readSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface Damage {
  readonly how: 'cut' | 'corrupt';
  /** From 0 to below 1: which file. */
  readonly file: number;
  /** From 0 to below 1: where in it. */
  readonly at: number;
}

/** Bytes that change. */
const SPOT_BYTES = 64;

/** Damages one of the non-empty files under `folder` that the patterns (glob) name; gives its path, or undefined when there is none. */
export function damageOne(folder: string, patterns: readonly string[], { how, file, at }: Damage): string | undefined {
  const named = new Set(patterns.flatMap((pattern) => globSync(pattern, { cwd: folder })));
  const files = [...named]
    .map((path) => join(folder, path))
    .filter((path) => {
      const status = statSync(path, { throwIfNoEntry: false });
      return status?.isFile() && status.size > 0;
    })
    .sort();
  const path = files[Math.floor(file * files.length)];
  if (path === undefined) return undefined;
  const { size } = statSync(path);
  if (how === 'cut') truncateSync(path, Math.floor(at * size));
  else corrupt(path, Math.floor(at * size));
  return path;
}

function corrupt(path: string, offset: number): void {
  const handle = openSync(path, 'r+');
  const spot = Buffer.alloc(SPOT_BYTES);
  const bytes = readSync(handle, spot, 0, SPOT_BYTES, offset);
  for (let i = 0; i < bytes; i++) spot[i]! ^= 0x5a;
  writeSync(handle, spot, 0, bytes, offset);
  fsyncSync(handle);
  closeSync(handle);
}
