/**
 * @file Models and updates in the object store of NATS JetStream, named by run and content hash. A transfer goes on from its last whole chunk
 * after a lost connection, a killed server and a killed process; what is fetched is checked against its hash. One process at a time fetches
 * into a folder.
 *
 * What credentials must allow for a bucket B, beside the inbox of their holder (to subscribe to); all of it says in the subject which bucket
 * it is of, so none of it can be widened:
 *
 * - to read, publish `$JS.API.DIRECT.GET.OBJ_B.>`
 * - to write and to forget, publish that, `$O.B.C.>`, `$O.B.M.>`, `$JS.API.STREAM.INFO.OBJ_B` and `$JS.API.STREAM.PURGE.OBJ_B`
 *
 * A hospital's connection finds `$JS.API` under another name in its own account (permissions.ts); nothing here knows of it.
 * {@link prepareBucket} needs the orchestrator's: `$JS.API.STREAM.{INFO,CREATE,UPDATE}.OBJ_B`, `$JS.API.INFO`.
 */
import { lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { DiscardPolicy, JetStreamApiError, jetstreamManager, StorageType } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { sha256 as digest, fail, messageOf } from '../base/index.ts';
import { type ContentHash, hashContent } from '../workspace/index.ts';
import { fetchBytes, fetchFile, objectInfo, partialPath, readAll } from './objects-fetch.ts';
import { fetchFolder, listFolder } from './objects-folder.ts';
import { type Line, openLine, watchReconnects } from './objects-line.ts';
import { purge, type SendOptions, type Source, sendObject, subjectsThere } from './objects-send.ts';
import {
  allInfos,
  checkPlace,
  damagedObject,
  decodeListing,
  encodeListing,
  everyChunk,
  folderHash,
  missingObject,
  nameAt,
  ObjectMissing,
  type Place,
  streamOf,
} from './objects-wire.ts';

export interface TransferOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes that are there, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface Objects {
  /**
   * Sends a file or folder under its content hash, in run `run`; what is there is not sent again.
   *
   * @param hash of what lies at `path`, by hashContent
   * @throws FedradError when nothing moved for the idle timeout, the bucket is full or not to be written, or `path` is no longer what the hash says
   */
  put(bucket: string, run: string, path: string, hash: ContentHash, options?: TransferOptions): Promise<void>;
  /**
   * Fetches to `path`, whole or not at all, in place of what lies there; does nothing where that is it already.
   *
   * @throws ObjectMissing when it was not put, or not all of it is there
   * @throws ObjectDamaged when the server's bytes do not fit the hash; {@link forget} that object and put again
   * @throws FedradError when nothing moved for the idle timeout, or the disk is full; what was fetched is kept for the next call
   */
  get(bucket: string, run: string, hash: ContentHash, path: string, options?: TransferOptions): Promise<void>;
  /** Whether it was put, with all its files. Does not look at the bytes. */
  has(bucket: string, run: string, sha256: string): Promise<boolean>;
  /** Forgets all objects of a run in a bucket, or only the one of this hash, a folder with its files: what is damaged may be one of them. */
  forget(bucket: string, run: string, sha256?: string): Promise<void>;
}

export interface ObjectsOptions {
  /** A transfer fails when nothing moved for so long, ms. Default 60,000. */
  readonly idleTimeoutMs?: number;
}

/** Objects over a connection, which stays the caller's. */
export function openObjects(nc: NatsConnection, { idleTimeoutMs = 60_000 }: ObjectsOptions = {}): Objects {
  const reconnects = watchReconnects(nc);
  const oneAtATime = openQueues();
  const lineFor = (what: string, bucket: string, run: string, signal?: AbortSignal): Line =>
    openLine(nc, reconnects, { where: `${what}, run ${run}, bucket ${bucket}`, idleTimeoutMs, signal });

  const has = async (line: Line, place: Place): Promise<boolean> => {
    const info = await objectInfo(line, place);
    if (info?.kind !== 'folder') return info !== undefined;
    for (const { sha256 } of decodeListing(place, await fetchBytes(line, place, info))) {
      if (!(await objectInfo(line, { ...place, sha256 }))) return false;
    }
    return true;
  };

  const sendOptions = (): { readonly maxPayload: number } => ({ maxPayload: nc.info?.max_payload ?? 1024 * 1024 });

  const putFile = async (
    line: Line,
    place: Place,
    path: string,
    bytes: number,
    onProgress: (bytes: number) => void,
  ) => {
    if (await objectInfo(line, place)) return onProgress(bytes);
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    if (size !== bytes) changed(path);
    // The connection holds on to a chunk until it is stored; then its memory takes another.
    const free: Buffer[] = [];
    const read = async (start: number, length: number): Promise<Uint8Array> => {
      const memory = free.pop();
      const chunk = memory && memory.length >= length ? memory.subarray(0, length) : Buffer.allocUnsafeSlow(length);
      if (!(await readAll(file, chunk, start))) changed(path);
      return chunk;
    };
    const done = (chunk: Uint8Array): void => void free.push(chunk as Buffer);
    const options: SendOptions = { kind: 'file', digest: place.sha256, ...sendOptions(), onProgress };
    await sendObject(line, place, { bytes, read, done }, options);
  };

  return {
    put: async (bucket, run, path, hash, { signal, onProgress } = {}) => {
      const place = { bucket, run, sha256: hash.sha256 };
      checkPlace(place);
      const tell = (bytes: number): void => onProgress?.(bytes, hash.bytes);
      const isFolder = (await lstat(path)).isDirectory();
      const files = isFolder ? await listFolder(path) : undefined;
      if (files && folderHash(files).sha256 !== hash.sha256) changed(path);
      using line = lineFor('sending', bucket, run, signal);
      if (!files) return await putFile(line, place, path, hash.bytes, tell);
      const listing = encodeListing(files, path);
      let done = 0;
      for (const { path: name, bytes, sha256 } of files) {
        const before = done;
        await putFile(line, { ...place, sha256 }, join(path, name), bytes, (sent) => tell(before + sent));
        done += bytes;
      }
      if (await objectInfo(line, place)) return;
      await sendObject(line, place, sourceOf(listing), { kind: 'folder', digest: digest(listing), ...sendOptions() });
    },

    get: (bucket, run, hash, path, { signal, onProgress } = {}) =>
      oneAtATime(partialPath(path, hash.sha256), async () => {
        const place = { bucket, run, sha256: hash.sha256 };
        checkPlace(place);
        const tell = (bytes: number): void => onProgress?.(bytes, hash.bytes);
        if (await isAt(path, hash)) return tell(hash.bytes);
        using line = lineFor('fetching', bucket, run, signal);
        const info = (await objectInfo(line, place)) ?? missingObject(place, 'it is not there');
        const check = (bytes: number): void => {
          if (bytes !== hash.bytes) damagedObject(place, `expected ${hash.bytes} bytes, got ${bytes}`);
        };
        if (info.kind === 'file') {
          check(info.bytes);
          return await fetchFile(line, place, info, path, tell);
        }
        const files = decodeListing(place, await fetchBytes(line, place, info));
        check(folderHash(files).bytes);
        return await fetchFolder(line, place, files, path, tell);
      }),

    has: async (bucket, run, sha256) => {
      const place = { bucket, run, sha256 };
      checkPlace(place);
      using line = lineFor('looking', bucket, run);
      return await has(line, place);
    },

    forget: async (bucket, run, sha256) => {
      checkPlace({ bucket, run, sha256: sha256 ?? '0'.repeat(64) });
      const where = `forgetting, run ${run}, bucket ${bucket}`;
      using line = lineFor('forgetting', bucket, run);
      const hashes = sha256 === undefined ? [undefined] : [...(await filesOf(line, { bucket, run, sha256 })), sha256];
      // The descriptions first: an object is never said to be there when it is not.
      const mine = hashes.map((hash) => (hash === undefined ? `${run}.` : `${run}.${hash}`));
      for (const subject of await subjectsThere(line, bucket, allInfos(bucket), where)) {
        if (mine.some((start) => nameAt(subject).startsWith(start))) await purge(line, bucket, subject, where);
      }
      for (const hash of hashes) await purge(line, bucket, everyChunk({ bucket, run, sha256: hash }), where);
    },
  };
}

/** Hashes of a folder's files; none of a file, nor of a folder whose list is not whole. */
async function filesOf(line: Line, place: Place): Promise<readonly string[]> {
  try {
    const info = await objectInfo(line, place);
    if (info?.kind !== 'folder') return [];
    return decodeListing(place, await fetchBytes(line, place, info)).map(({ sha256 }) => sha256);
  } catch (error) {
    if (error instanceof ObjectMissing) return [];
    throw error;
  }
}

const changed = (path: string): never =>
  fail(path, 'it is no longer what its hash says', 'something else writes there; run the step again');

const sourceOf = (data: Uint8Array): Source => ({
  bytes: data.length,
  read: (start, bytes) => Promise.resolve(data.slice(start, start + bytes)),
  done: () => {},
});

async function isAt(path: string, { sha256 }: ContentHash): Promise<boolean> {
  if (!(await lstat(path).catch(() => undefined))) return false;
  return (await hashContent(path)).sha256 === sha256;
}

/** Runs actions of the same key one after another. */
function openQueues(): <T>(key: string, action: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return async (key, action) => {
    const before = last.get(key);
    const running = (async () => {
      await before?.catch(() => {});
      return action();
    })();
    last.set(key, running);
    try {
      return await running;
    } finally {
      if (last.get(key) === running) last.delete(key);
    }
  };
}

/**
 * Makes a bucket, on disk, or leaves it as it is.
 *
 * @throws FedradError when JetStream will not make it
 */
export async function prepareBucket(nc: NatsConnection, bucket: string): Promise<void> {
  checkPlace({ bucket, run: 'run', sha256: '0'.repeat(64) });
  const { streams } = await jetstreamManager(nc);
  const name = streamOf(bucket);
  const config = {
    subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
    // Nothing is dropped to make room: a full store refuses what is new.
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
    allow_direct: true,
  };
  try {
    const there = await streams.info(name).catch((error: unknown) => {
      if (error instanceof JetStreamApiError && error.code === 10059) return undefined;
      throw error;
    });
    if (there === undefined) await streams.add({ ...config, name, storage: StorageType.File });
    else if (!(there.config.allow_direct && there.config.allow_rollup_hdrs)) await streams.update(name, config);
  } catch (cause) {
    fail(
      `bucket ${bucket}`,
      `JetStream did not make it: ${messageOf(cause)}`,
      'nats-server.conf must have jetstream with a store_dir',
      cause,
    );
  }
}
