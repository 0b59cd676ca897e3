/**
 * @file The name of what lies at a path: SHA-256 of a file's bytes; of a folder, SHA-256 over its files' relative
 * paths and hashes, sorted. Streamed, so that a folder of any size fits in memory.
 */
import { createHash } from 'node:crypto';
import { lstat, open, readdir } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { fail } from '../base/index.ts';
import { flushFolder, UNFINISHED } from './disk.ts';

export interface ContentHash {
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  /** Size of the file, or of all files of the folder. */
  readonly bytes: number;
}

/** Files hashed at once: enough for the disk to share the cost of a flush between them. */
const FILES_AT_ONCE = 8;
/** Each of them is read through one buffer of this size: memory made anew for each piece costs more than reading it. */
const BUFFER_BYTES = 1 << 20;

/**
 * The hash of a file, or of a folder's files (empty folders do not count).
 *
 * @param options.flush also makes the files and folders survive a power cut (default false)
 * @throws FedradError when there is something that is neither a file nor a folder, such as a symbolic link
 */
export async function hashContent(path: string, { flush = false } = {}): Promise<ContentHash> {
  if (!(await lstat(path)).isDirectory()) {
    await checkRegular(path);
    return hashFile(path, flush, Buffer.allocUnsafeSlow(BUFFER_BYTES));
  }
  const { files, folders } = await walk(path);
  const hashes = new Array<ContentHash>(files.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    for (let index = next++; index < files.length; index = next++) {
      hashes[index] = await hashFile(join(path, files[index]!), flush, buffer);
    }
  };
  await Promise.all(Array.from({ length: Math.min(FILES_AT_ONCE, files.length) }, worker));
  if (flush) for (const folder of folders) await flushFolder(join(path, folder));
  return folderHash(files.map((file, index) => ({ path: file.replaceAll(sep, '/'), ...hashes[index]! })));
}

/** The hash of a folder from those of its files; their paths are relative to it, separated by `/`, in order. */
export function folderHash(files: readonly (ContentHash & { readonly path: string })[]): ContentHash {
  const digest = createHash('sha256');
  // A path holds no NUL and a hash has 64 digits, so no two folders give the same text.
  for (const { path, sha256 } of files) digest.update(`${path}\0${sha256}\n`);
  return { sha256: digest.digest('hex'), bytes: files.reduce((total, { bytes }) => total + bytes, 0) };
}

/**
 * The relative paths of the files and folders under a folder, sorted by UTF-16 code unit; the folder itself is `''`.
 * Unfinished work is left out.
 */
export async function walk(root: string): Promise<{ readonly files: string[]; readonly folders: string[] }> {
  const files: string[] = [];
  const folders: string[] = [];
  const visit = async (folder: string): Promise<void> => {
    folders.push(folder);
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      if (entry.name.startsWith(UNFINISHED)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile()) files.push(path);
      else await checkRegular(join(root, path));
    }
  };
  await visit('');
  return { files: files.sort(), folders: folders.sort() };
}

async function checkRegular(path: string): Promise<void> {
  const status = await lstat(path);
  if (status.isFile()) return;
  const kind = status.isSymbolicLink() ? 'a symbolic link' : 'a device, pipe or socket';
  fail(path, `expected a file or a folder, got ${kind}`, 'a datastore holds only files and folders');
}

async function hashFile(path: string, flush: boolean, buffer: Buffer): Promise<ContentHash> {
  await using file = await open(path, 'r');
  const digest = createHash('sha256');
  let bytes = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, bytes);
    if (bytesRead === 0) break;
    digest.update(buffer.subarray(0, bytesRead));
    bytes += bytesRead;
  }
  if (flush) await file.sync();
  return { sha256: digest.digest('hex'), bytes };
}
