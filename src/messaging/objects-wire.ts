/**
 * @file How a model lies in the object store of NATS (ADR-20, nats-io/nats-architecture-and-design): its name, its subjects, what is said of
 * it. `nats object ls` and `get` read it. Each chunk has a subject of its own, so that a chunk can be asked for and stored by its number,
 * and never twice. A folder is an object that lists its files, each of which is an object.
 */
import { z } from 'zod';
import { FedradError, fail, type Problem, sha256 } from '../base/index.ts';
import { type ContentHash, UNFINISHED } from '../workspace/index.ts';

/** Bytes of all chunks but the last. Measured: below 256 kB a chunk costs more in messages, above 1 MB in fresh memory (bench/NOTES.md). */
export const CHUNK_BYTES = 512 * 1024;
/** Most chunks of an object: 64 GiB in all. */
const CHUNKS_LIMIT = 131_072;
/** Largest list of a folder's files. */
export const LISTING_BYTES_LIMIT = 4 * 1024 * 1024;
const FILES_LIMIT = 10_000;

/** An object is not there, or not all of it: it must be put (again). */
export class ObjectMissing extends FedradError {
  /** Of the object that is missing: the one asked for, or a file of it. */
  readonly sha256: string;

  constructor(problem: Problem, sha256: string) {
    super(problem);
    this.sha256 = sha256;
  }
}

/** What the server holds is not what the name says. Forget the object `sha256`, then put it again. */
export class ObjectDamaged extends ObjectMissing {}

/** An object's place: bucket, run and the SHA-256 of its content. */
export interface Place {
  readonly bucket: string;
  readonly run: string;
  readonly sha256: string;
}

const TOKEN = /^[A-Za-z0-9_-]{1,120}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Throws a RangeError for what could reach out of its subject. */
export function checkPlace({ bucket, run, sha256 }: Place): void {
  if (!TOKEN.test(bucket)) throw new RangeError(`objects: bucket "${bucket}"`);
  if (!TOKEN.test(run)) throw new RangeError(`objects: run "${run}"`);
  if (!SHA256.test(sha256)) throw new RangeError(`objects: hash "${sha256}"`);
}

export const whereOf = ({ bucket, run, sha256 }: Place): string =>
  `object ${sha256.slice(0, 12)} of run ${run} in bucket ${bucket}`;

export const streamOf = (bucket: string): string => `OBJ_${bucket}`;

const base64url = (text: string): string => {
  const encoded = Buffer.from(text).toString('base64url');
  // The object store pads its names.
  return encoded + '='.repeat((4 - (encoded.length % 4)) % 4);
};

export const nameOf = ({ run, sha256 }: Place): string => `${run}.${sha256}`;
export const infoSubject = (place: Place): string => `$O.${place.bucket}.M.${base64url(nameOf(place))}`;
export const allInfos = (bucket: string): string => `$O.${bucket}.M.>`;

/** The name behind the subject of an object's description. */
export const nameAt = (subject: string): string =>
  Buffer.from(subject.slice(subject.lastIndexOf('.') + 1), 'base64url').toString('utf8');

/** What the object store calls `nuid`: the chunks' subjects behind `$O.<bucket>.C.` */
const chunksOf = ({ run, sha256 }: Place, chunkBytes: number): string => `${run}.${sha256}.${chunkBytes}.*`;
export const allChunks = (place: Place, chunkBytes: number): string =>
  `$O.${place.bucket}.C.${chunksOf(place, chunkBytes)}`;
export const chunkSubject = (place: Place, chunkBytes: number, index: number): string =>
  `$O.${place.bucket}.C.${place.run}.${place.sha256}.${chunkBytes}.${index}`;
/** Chunks of any size: of one object, or of a run's objects. */
export const everyChunk = ({ bucket, run, sha256 }: Omit<Place, 'sha256'> & { sha256?: string | undefined }): string =>
  `$O.${bucket}.C.${run}.${sha256 === undefined ? '' : `${sha256}.`}>`;

/** What the object store says of an object; what fedrad does not use is left out. */
const infoSchema = z.object({
  name: z.string().max(200),
  deleted: z.boolean().exactOptional(),
  size: z.int().nonnegative(),
  chunks: z.int().nonnegative().max(CHUNKS_LIMIT),
  digest: z.string().max(100),
  options: z.object({
    max_chunk_size: z
      .int()
      .min(1024)
      .max(8 * 1024 * 1024),
  }),
  metadata: z.object({ fedrad: z.enum(['file', 'folder']) }),
});

export interface ObjectInfo {
  readonly kind: 'file' | 'folder';
  /** Of the file, or of the list of files. */
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly chunks: number;
  readonly digest: string;
}

export const chunkCount = (bytes: number, chunkBytes: number): number => Math.ceil(bytes / chunkBytes);

/** Digest as the object store writes it, of a SHA-256 in hexadecimal digits. */
export const digestOf = (hex: string): string => `SHA-256=${base64urlOfHex(hex)}`;
const base64urlOfHex = (hex: string): string => `${Buffer.from(hex, 'hex').toString('base64url')}=`;

export const encodeInfo = (place: Place, { kind, bytes, chunkBytes, chunks, digest }: ObjectInfo): Uint8Array =>
  Buffer.from(
    JSON.stringify({
      name: nameOf(place),
      bucket: place.bucket,
      nuid: chunksOf(place, chunkBytes),
      size: bytes,
      chunks,
      digest,
      mtime: new Date().toISOString(),
      options: { max_chunk_size: chunkBytes },
      metadata: { fedrad: kind },
    }),
  );

/** Undefined for an object that was deleted. */
export function decodeInfo(place: Place, data: Uint8Array): ObjectInfo | undefined {
  const damaged = (problem: string): never => damagedObject(place, `its description is not valid: ${problem}`);
  if (data.length > 100_000) return damaged(`${data.length} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return damaged('not JSON');
  }
  if (value !== null && typeof value === 'object' && 'deleted' in value && value.deleted === true) return undefined;
  const checked = infoSchema.safeParse(value);
  if (!checked.success) return damaged(checked.error.issues[0]!.message);
  const { name, size: bytes, chunks, digest, options, metadata } = checked.data;
  const chunkBytes = options.max_chunk_size;
  if (name !== nameOf(place)) return damaged(`it is called ${name}`);
  if (chunks !== chunkCount(bytes, chunkBytes)) return damaged(`${chunks} chunks for ${bytes} bytes`);
  if (metadata.fedrad === 'file' && digest !== digestOf(place.sha256)) return damaged(`its digest is ${digest}`);
  return { kind: metadata.fedrad, bytes, chunkBytes, chunks, digest };
}

export const damagedObject = (place: Place, problem: string): never => {
  throw new ObjectDamaged(
    { where: whereOf(place), problem, remedy: 'it is forgotten and sent again when the step is tried again' },
    place.sha256,
  );
};

export const missingObject = (place: Place, problem: string): never => {
  throw new ObjectMissing(
    { where: whereOf(place), problem, remedy: 'it is sent again when the step that made it is tried again' },
    place.sha256,
  );
};

/** Other separators than `/`, and what ends a name. */
const OTHER_SEPARATORS = /[\\:\0]/;
const partSchema = z
  .string()
  .max(255)
  .refine((part) => part !== '' && part !== '.' && part !== '..' && !part.startsWith(UNFINISHED));
const pathSchema = z
  .string()
  .max(1000)
  .refine(
    (path) => !OTHER_SEPARATORS.test(path) && path.split('/').every((part) => partSchema.safeParse(part).success),
  );

/** A file of a folder: path with `/`, relative to the folder. */
const fileSchema = z.strictObject({
  path: pathSchema,
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(SHA256),
});
export type FolderFile = z.infer<typeof fileSchema>;

const listingSchema = z.strictObject({ files: z.array(fileSchema).max(FILES_LIMIT) });

/** Hash of a folder of these files: that of the workspace's hashContent. */
export const folderHash = (files: readonly FolderFile[]): ContentHash => ({
  sha256: sha256(files.map(({ path, sha256 }) => `${path}\0${sha256}\n`).join('')),
  bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
});

/** @throws FedradError for a folder with more files, or other names, than travel */
export function encodeListing(files: readonly FolderFile[], folder: string): Uint8Array {
  const checked = listingSchema.safeParse({ files });
  const data = Buffer.from(JSON.stringify({ files }));
  if (!checked.success || data.length > LISTING_BYTES_LIMIT) {
    const bad = checked.success ? undefined : files[Number(checked.error.issues[0]!.path[1])]?.path;
    const got = bad === undefined ? `${files.length} files` : `a file named ${JSON.stringify(bad)}`;
    return fail(
      folder,
      `expected at most ${FILES_LIMIT} files with plain names, got ${got}`,
      'this folder cannot travel',
    );
  }
  return data;
}

/** The files of a folder, as its list says; it fits the folder's own hash, so the list needs no trust. */
export function decodeListing(place: Place, data: Uint8Array): readonly FolderFile[] {
  const damaged = (problem: string): never => damagedObject(place, `its list of files ${problem}`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return damaged('is not JSON');
  }
  const checked = listingSchema.safeParse(value);
  if (!checked.success) return damaged('is not valid');
  const { files } = checked.data;
  if (folderHash(files).sha256 !== place.sha256) return damaged('has another hash');
  const seen = new Set<string>();
  for (const { path } of files) {
    if (seen.has(path)) return damaged('names a file twice');
    seen.add(path);
  }
  for (const { path } of files) {
    const parts = path.split('/');
    for (let depth = 1; depth < parts.length; depth++) {
      if (seen.has(parts.slice(0, depth).join('/'))) return damaged('names a file inside a file');
    }
  }
  return files;
}
