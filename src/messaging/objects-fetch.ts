/**
 * @file Fetching one object to a file. The file grows beside its place in whole chunks and is renamed when its hash is right; what a killed
 * process left of it is read again, not fetched again.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { explainFullDisk, UNFINISHED } from '../workspace/index.ts';
import type { Line } from './objects-line.ts';
import {
  chunkSubject,
  damagedObject,
  decodeInfo,
  infoSubject,
  LISTING_BYTES_LIMIT,
  missingObject,
  type ObjectInfo,
  type Place,
  streamOf,
} from './objects-wire.ts';

/** Chunks asked for at once. */
const WINDOW = 6;

/** Where an object lies until it is whole. */
export const partialPath = (path: string, sha256: string): string =>
  join(dirname(path), `${UNFINISHED}fetch-${sha256}`);

/** What the server says of an object; undefined where it has none. */
export async function objectInfo(line: Line, place: Place): Promise<ObjectInfo | undefined> {
  const data = await lastMessage(line, place, infoSubject(place));
  return data && decodeInfo(place, data);
}

/** The last message of a subject, by `DIRECT.GET`: the request's own subject says what it reads, so credentials can be exact. */
async function lastMessage(line: Line, place: Place, subject: string): Promise<Uint8Array | undefined> {
  for (;;) {
    const reply = await line.ask(`$JS.API.DIRECT.GET.${streamOf(place.bucket)}.${subject}`, '');
    const code = reply.headers?.code ?? 0;
    if (code === 404) return undefined;
    if (code === 0 && reply.headers?.get('Nats-Subject') === subject) return reply.data;
    await line.pause();
  }
}

/** The content of a small object. */
export async function fetchBytes(line: Line, place: Place, info: ObjectInfo): Promise<Uint8Array> {
  if (info.bytes > LISTING_BYTES_LIMIT) return damagedObject(place, `a list of files of ${info.bytes} bytes`);
  const parts: Uint8Array[] = [];
  for await (const chunk of chunksFrom(line, place, info, 0)) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Chunks in order, each of the right size. */
async function* chunksFrom(line: Line, place: Place, { bytes, chunkBytes, chunks }: ObjectInfo, from: number) {
  const fetch = async (index: number): Promise<Uint8Array> => {
    const chunk = await lastMessage(line, place, chunkSubject(place, chunkBytes, index));
    if (chunk === undefined) return missingObject(place, `chunk ${index} of ${chunks} is not there`);
    const expected = Math.min(chunkBytes, bytes - index * chunkBytes);
    if (chunk.length !== expected)
      return damagedObject(place, `chunk ${index}: expected ${expected} bytes, got ${chunk.length}`);
    line.moved();
    return chunk;
  };
  const underway: Promise<Uint8Array>[] = [];
  for (let next = from; next < chunks || underway.length > 0; ) {
    while (next < chunks && underway.length < WINDOW) {
      const chunk = fetch(next++);
      // Thrown when its turn comes.
      chunk.catch(() => {});
      underway.push(chunk);
    }
    yield await underway.shift()!;
  }
}

/** Fetches a file to `path`, over what lies there. `onProgress` gets bytes. */
export async function fetchFile(
  line: Line,
  place: Place,
  info: ObjectInfo,
  path: string,
  onProgress?: (bytes: number) => void,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const partial = partialPath(path, place.sha256);
  await explainFullDisk(path, dirname(path), info.bytes, async () => {
    const { resumed, digest } = await fillFile(line, place, info, partial, onProgress);
    if (digest === place.sha256) return rename(partial, path);
    await rm(partial);
    // Then what lay on the disk was damaged, or the server's object is.
    const again = resumed ? await fillFile(line, place, info, partial, onProgress) : undefined;
    if (again?.digest === place.sha256) return rename(partial, path);
    await rm(partial, { force: true });
    return damagedObject(place, `expected SHA-256 ${place.sha256}, got ${again?.digest ?? digest}`);
  });
}

async function fillFile(
  line: Line,
  place: Place,
  info: ObjectInfo,
  partial: string,
  onProgress?: (bytes: number) => void,
): Promise<{ readonly resumed: boolean; readonly digest: string }> {
  // Opens what is there, or makes it.
  await using file = await open(partial, 'a').then(async (made) => {
    await made.close();
    return open(partial, 'r+');
  });
  const hash = createHash('sha256');
  const from = await wholeChunks(file, info);
  const resumed = Math.min(info.bytes, from * info.chunkBytes);
  await file.truncate(resumed);
  const buffer = new Uint8Array(Math.min(info.chunkBytes, resumed));
  for (let at = 0; at < resumed; at += buffer.length) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, resumed - at));
    await readAll(file, chunk, at);
    hash.update(chunk);
    line.moved();
  }
  let position = resumed;
  onProgress?.(position);
  let written: Promise<unknown> = Promise.resolve();
  for await (const chunk of chunksFrom(line, place, info, from)) {
    await written;
    written = writeAll(file, chunk, position);
    written.catch(() => {});
    position += chunk.length;
    hash.update(chunk);
    onProgress?.(position);
  }
  await written;
  return { resumed: from > 0, digest: hash.digest('hex') };
}

/** How many whole chunks a partial file begins with; 0 for one that is longer than the object. */
async function wholeChunks(file: FileHandle, { bytes, chunkBytes, chunks }: ObjectInfo): Promise<number> {
  const { size } = await file.stat();
  if (size > bytes) return 0;
  return size === bytes ? chunks : Math.floor(size / chunkBytes);
}

/** Fills `buffer` from a file; false where the file ends before. */
export async function readAll(file: FileHandle, buffer: Uint8Array, position: number): Promise<boolean> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) return false;
    filled += bytesRead;
  }
  return true;
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    done += (await file.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
  }
}
