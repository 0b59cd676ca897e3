/** @file A folder that travels: its files one by one, then all of them in one rename. */
import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { besidePath, hashContent, walk } from '../workspace/index.ts';
import { fetchFile, objectInfo, partialPath } from './objects-fetch.ts';
import type { Line } from './objects-line.ts';
import { damagedObject, type FolderFile, missingObject, type Place } from './objects-wire.ts';

/** The files of a folder, sorted by path as the folder's hash has them. */
export async function listFolder(folder: string): Promise<FolderFile[]> {
  const { files } = await walk(folder);
  const listed: FolderFile[] = [];
  for (const file of files) {
    listed.push({ path: file.replaceAll(sep, '/'), ...(await hashContent(join(folder, file))) });
  }
  return listed;
}

/** Fetches the files of a folder and moves it to `path`, over what lies there. */
export async function fetchFolder(
  line: Line,
  place: Place,
  files: readonly FolderFile[],
  path: string,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const partial = partialPath(path, place.sha256);
  await mkdir(partial, { recursive: true });
  let done = 0;
  for (const file of files) {
    const target = join(partial, ...file.path.split('/'));
    if (!(await isThere(target, file))) {
      const filePlace = { ...place, sha256: file.sha256 };
      const info =
        (await objectInfo(line, filePlace)) ?? missingObject(filePlace, `the file ${file.path} is not there`);
      if (info.kind !== 'file' || info.bytes !== file.bytes)
        damagedObject(filePlace, `expected a file of ${file.bytes} bytes, got a ${info.kind} of ${info.bytes}`);
      const before = done;
      await fetchFile(line, filePlace, info, target, (bytes) => onProgress(before + bytes));
    }
    line.moved();
    done += file.bytes;
    onProgress(done);
  }
  const wanted = new Set(files.map((file) => file.path.split('/').join(sep)));
  for (const file of (await walk(partial)).files) {
    if (!wanted.has(file)) await rm(join(partial, file));
  }
  await moveOver(partial, path);
}

async function isThere(path: string, { bytes, sha256 }: FolderFile): Promise<boolean> {
  const status = await lstat(path).catch(() => undefined);
  if (!status?.isFile() || status.size !== bytes) return false;
  return (await hashContent(path)).sha256 === sha256;
}

/** A folder cannot be renamed over another. */
async function moveOver(finished: string, path: string): Promise<void> {
  const old = await lstat(path).catch(() => undefined);
  if (old === undefined) return rename(finished, path);
  const aside = besidePath(path);
  await rename(path, aside);
  await rename(finished, path);
  await rm(aside, { recursive: true, force: true });
}
