/** @file A datastore that is a folder of this machine. */
import { randomUUID } from 'node:crypto';
import { lstatSync, realpathSync } from 'node:fs';
import { cp, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { fail } from '../base/index.ts';
import { hashContent, walk } from './content-hash.ts';
import { checkDatastorePath, type Datastore } from './datastore.ts';
import { besidePath, codeOf, explainFullDisk, flushFolder, makePrivateFolder, UNFINISHED } from './disk.ts';
import { waitForLock } from './file-lock.ts';

/** Opens the datastore `name` in the folder `root`, which is made where it is missing. */
export async function openDirectoryDatastore(name: string, root: string): Promise<Datastore> {
  await makePrivateFolder(root);
  const where = `datastore "${name}"`;
  const localPath = (path: string): string => contained(root, checkDatastorePath(path, where), where);

  return {
    name,
    localPath,
    exists: async (path) => (await statusOf(localPath(path))) !== undefined,
    list: async (folder) => {
      const prefix = folder === '' ? '' : `${checkDatastorePath(folder, where)}/`;
      const place = prefix === '' ? root : localPath(folder);
      if (!(await statusOf(place))?.isDirectory()) return [];
      return (await walk(place)).files.map((file) => prefix + file.replaceAll(sep, '/'));
    },
    hash: async (path) => {
      const place = localPath(path);
      if (!(await statusOf(place))) return fail(where, `nothing lies at ${path}`, 'run the step that writes it first');
      return hashContent(place);
    },
    stage: async () => {
      const folder = join(root, `${UNFINISHED}${randomUUID()}`);
      await makePrivateFolder(folder);
      return folder;
    },
    publish: async (finished, path) => {
      const place = localPath(path);
      if (!(await statusOf(finished))) return fail(where, `nothing to publish as ${path}: ${finished} is missing`);
      const content = await hashContent(finished, { flush: true });
      await explainFullDisk(where, root, content.bytes, async () => {
        const made = await mkdir(dirname(place), { recursive: true, mode: 0o700 });
        await moveIntoPlace(finished, place, join(root, `${UNFINISHED}lock`), async () => {
          if ((await hashContent(place)).sha256 === content.sha256) return;
          fail(
            where,
            `${path} exists with other content`,
            'a finished output never changes; remove it first to redo it',
          );
        });
        await flushFolder(dirname(place));
        if (made !== undefined) await flushFolder(dirname(made));
      });
      return content;
    },
    remove: async (path) => {
      await rm(localPath(path), { recursive: true, force: true });
    },
  };
}

/**
 * Renames `finished` to `place` under a lock, because a rename alone would replace a file that another process has
 * put there. What lies there already is left to `settle`; `finished` is gone afterwards.
 */
async function moveIntoPlace(finished: string, place: string, lockPath: string, settle: () => Promise<void>) {
  const nearby = besidePath(place);
  try {
    await bringToDisk(finished, nearby);
    using _lock = await waitForLock(lockPath, place);
    if (await statusOf(place)) await settle();
    else await rename(nearby, place);
  } finally {
    await rm(nearby, { recursive: true, force: true });
  }
}

/** Renames, or copies and removes where the two places are on different file systems. */
async function bringToDisk(from: string, to: string): Promise<void> {
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
const statusOf = (path: string) =>
  lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  });

/**
 * The path on disk, if no symbolic link on the way leads out of `root`. A link that leads nowhere is refused too:
 * writing through it would make its target.
 */
function contained(root: string, path: string, where: string): string {
  const realRoot = realpathSync(root);
  let place = root;
  for (const segment of path.split('/')) {
    place = join(place, segment);
    const status = lstatSync(place, { throwIfNoEntry: false });
    if (status === undefined) break;
    if (!status.isSymbolicLink()) continue;
    const target = resolvedOrUndefined(place);
    if (target === undefined || (target !== realRoot && !target.startsWith(realRoot + sep))) {
      return fail(
        where,
        `path "${path}": the symbolic link "${segment}" leads out of the datastore`,
        'remove the link',
      );
    }
  }
  return join(root, path);
}

function resolvedOrUndefined(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
