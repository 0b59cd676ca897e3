/** @file A datastore that is a folder of this machine. */
import { lstatSync, realpathSync } from 'node:fs';
import { cp, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { fail } from '../base/index.ts';
import { hashContent, walk } from './content-hash.ts';
import { checkDatastorePath, type LocalDatastore } from './datastore.ts';
import { besidePath, explainFullDisk, flushFolder, makePrivateFolder, UNFINISHED } from './disk.ts';
import { moveIntoPlace, replacedPath, statusOf } from './into-place.ts';
import { sweepLeftovers } from './leftovers.ts';

/**
 * Opens the datastore `name` in the folder `root`, which is made where it is missing; what killed processes left there
 * is swept.
 */
export async function openDirectoryDatastore(name: string, root: string): Promise<LocalDatastore> {
  await makePrivateFolder(root);
  const lockPath = join(root, `${UNFINISHED}lock`);
  await sweepLeftovers(root, lockPath, Date.now());
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
    publish: async (finished, path, { replace = false } = {}) => {
      const place = localPath(path);
      if (!(await statusOf(finished))) return fail(where, `nothing to publish as ${path}: ${finished} is missing`);
      const content = await hashContent(finished, { flush: true });
      await explainFullDisk(where, root, content.bytes, async () => {
        const made = await mkdir(dirname(place), { recursive: true, mode: 0o700 });
        await moveIntoPlace(finished, place, lockPath, async () => {
          if ((await hashContent(place)).sha256 === content.sha256) return false;
          if (replace) return true;
          return fail(
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
    fetch: async (path, target) => {
      const place = localPath(path);
      if (!(await statusOf(place))) return fail(where, `nothing lies at ${path}`, 'run the step that writes it first');
      const unfinished = besidePath(target);
      try {
        const { bytes } = await hashContent(place);
        return await explainFullDisk(where, dirname(target), bytes, async () => {
          await cp(place, unfinished, { recursive: true });
          const content = await hashContent(unfinished);
          await rm(target, { recursive: true, force: true });
          await rename(unfinished, target);
          return content;
        });
      } finally {
        await rm(unfinished, { recursive: true, force: true });
      }
    },
    remove: async (path) => {
      const place = localPath(path);
      await rm(replacedPath(place), { recursive: true, force: true });
      await rm(place, { recursive: true, force: true });
    },
  };
}

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
