/**
 * @file Models that came from the orchestrator, on this machine by content hash: fetched once for all steps of a run, checked when
 * fetched and each time that they are used, kept while the run is open and as long as there is room.
 */
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, hashContent, walk } from '../workspace/index.ts';

export interface ObjectCache {
  /**
   * The path of the content, which stays there until it is released. `fetch` writes it to a path where nothing lies, or says false
   * where it is gone. Undefined: it is gone, or came damaged.
   */
  take(
    run: string,
    sha256: string,
    bytes: number,
    fetch: (path: string) => Promise<boolean>,
  ): Promise<Held | undefined>;
  forgetRun(run: string): Promise<void>;
}

export interface Held extends Disposable {
  readonly path: string;
}

/** A cache in `folder` that removes what was used longest ago where it would get larger than `limitBytes`. */
export function openObjectCache(folder: string, limitBytes: number): ObjectCache {
  const holders = new Map<string, number>();
  const coming = new Map<string, Promise<boolean>>();

  const forget = (path: string): Promise<void> => rm(path, { recursive: true, force: true });
  const bring = async (path: string, sha256: string, bytes: number, fetch: (path: string) => Promise<boolean>) => {
    if (await isWhole(path, sha256)) {
      const now = new Date();
      await utimes(path, now, now);
      return true;
    }
    await forget(path);
    await makeRoom(folder, limitBytes - bytes, (other) => holders.has(other), forget);
    await mkdir(join(path, '..'), { recursive: true });
    if (!(await fetch(path)) || !(await isWhole(path, sha256))) {
      await forget(path);
      return false;
    }
    return true;
  };
  const release = (path: string): void => {
    const left = (holders.get(path) ?? 1) - 1;
    if (left > 0) holders.set(path, left);
    else holders.delete(path);
  };

  return {
    take: async (run, sha256, bytes, fetch) => {
      const path = join(folder, run, sha256);
      holders.set(path, (holders.get(path) ?? 0) + 1);
      try {
        let bringing = coming.get(path);
        if (!bringing) {
          bringing = bring(path, sha256, bytes, fetch).finally(() => coming.delete(path));
          coming.set(path, bringing);
        }
        if (await bringing) return { path, [Symbol.dispose]: () => release(path) };
      } catch (error) {
        release(path);
        throw error;
      }
      release(path);
      return undefined;
    },
    forgetRun: async (run) => {
      const below = join(folder, run);
      await rm(below, { recursive: true, force: true });
    },
  };
}

async function isWhole(path: string, sha256: string): Promise<boolean> {
  try {
    return (await hashContent(path)).sha256 === sha256;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Of a file, or of a folder's files. */
async function bytesAt(path: string): Promise<number> {
  const { files } = (await stat(path)).isDirectory() ? await walk(path) : { files: [''] };
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(path, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function makeRoom(
  folder: string,
  limitBytes: number,
  isHeld: (path: string) => boolean,
  forget: (path: string) => Promise<void>,
): Promise<void> {
  const entries: { path: string; bytes: number; usedMs: number }[] = [];
  for (const run of await readdir(folder).catch(() => [])) {
    for (const name of await readdir(join(folder, run)).catch(() => [])) {
      const path = join(folder, run, name);
      const status = await stat(path).catch(() => undefined);
      if (!status || !/^[0-9a-f]{64}$/.test(name)) continue;
      entries.push({ path, bytes: await bytesAt(path), usedMs: status.mtimeMs });
    }
  }
  let total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { path, bytes } of entries.sort((a, b) => a.usedMs - b.usedMs)) {
    if (total <= limitBytes) return;
    if (isHeld(path)) continue;
    await forget(path);
    total -= bytes;
  }
}
