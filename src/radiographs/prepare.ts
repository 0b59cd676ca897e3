/**
 * @file Decodes a hospital's imported images once, to arrays that training reads as they are. A cache, keyed by what
 * goes in (the hashes of the images, in order, and the size), makes every further run a copy.
 */
import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { canonicalJson, concurrently, fail, messageOf, sha256 } from '../base/index.ts';
import { decodeRadiograph } from './decode.ts';
import { failDiskFull, isDiskFull, withoutPath } from './disk.ts';
import { SPLITS, type Split } from './layout.ts';
import {
  countSplits,
  type ImportSummary,
  type Manifest,
  type ManifestFile,
  readManifest,
  writeJson,
} from './manifest.ts';
import { type PreparedHeader, readPrepared } from './prepared.ts';

export interface PrepareRequest {
  /** Folder that `uploadData` filled. */
  readonly data: string;
  /** Folder to write `{train,val,test}.{u8,json}` to. */
  readonly output: string;
  /** Folder that outlives the run; without one everything is decoded anew. */
  readonly cache?: string | undefined;
  /** Height and width to resize to, pixels. */
  readonly imageSize: number;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface PreparedSummary {
  /** Phantoms, not patients. */
  readonly synthetic: boolean;
  readonly imageSize: number;
  readonly splits: ImportSummary['splits'];
  /** SHA-256 of each split's array. */
  readonly sha256: Readonly<Record<Split, string>>;
  /** Images decoded now; 0 when all came from the cache. */
  readonly decoded: number;
}

/** Part of the cache key: to be raised when the same file gives other pixels. */
const DECODER_VERSION = 1;
const CONCURRENCY = 4;
/** Images in memory before they are written. */
const BATCH_IMAGES = 64;
const PARTIAL = '.partial';
/** Unfinished cache entries younger than a day may be the work of another run. */
const PARTIAL_AGE_MS = 24 * 60 * 60 * 1000;
const FILES = SPLITS.flatMap((split) => [`${split}.u8`, `${split}.json`]);

/**
 * Writes the arrays of every split to `output`, where {@link readPrepared} finds them. The same images give the same
 * bytes, with or without a cache. Throws one clear line: no manifest, an image that changed since its import, a full disk.
 */
export async function prepare(request: PrepareRequest): Promise<PreparedSummary> {
  const { data, output, cache, imageSize } = request;
  if (!(Number.isInteger(imageSize) && imageSize >= 1 && imageSize <= 4096)) {
    fail('image size', `expected a whole number from 1 to 4096, got ${imageSize}`);
  }
  const manifest = await readManifest(data);
  await mkdir(output, { recursive: true });
  try {
    const cached = cache === undefined ? undefined : join(cache, cacheKey(manifest, imageSize));
    if (cached !== undefined && (await isIntact(cached))) {
      await copyFiles(cached, output);
      return await summarise(output, manifest, imageSize, 0);
    }
    await decodeAll(manifest, request);
    if (cached !== undefined) await store(output, cached);
    return await summarise(output, manifest, imageSize, manifest.files.length);
  } catch (error) {
    if (isDiskFull(error)) return await failDiskFull(`prepare ${data}`, output, 'more', error);
    throw error;
  }
}

const cacheKey = ({ synthetic, files }: Manifest, imageSize: number): string =>
  sha256(
    canonicalJson([
      DECODER_VERSION,
      imageSize,
      synthetic,
      files.map(({ sha256: hash, split, label, patient }) => [hash, split, label, patient]),
    ]),
  );

interface Indexed {
  readonly file: ManifestFile;
  /** Position in the manifest. */
  readonly index: number;
}

async function decodeAll({ files, synthetic }: Manifest, { data, output, imageSize, onProgress }: PrepareRequest) {
  const indexed: Indexed[] = files.map((file, index) => ({ file, index }));
  let done = 0;
  for (const split of SPLITS) {
    const own = indexed.filter(({ file }) => file.split === split);
    const hash = createHash('sha256');
    {
      await using handle = await open(join(output, `${split}.u8`), 'w');
      for (let from = 0; from < own.length; from += BATCH_IMAGES) {
        const batch = own.slice(from, from + BATCH_IMAGES);
        for (const image of await concurrently(batch, CONCURRENCY, (image) => decodeFile(data, image, imageSize))) {
          hash.update(image);
          await handle.appendFile(image);
        }
        done += batch.length;
        onProgress?.(done, files.length);
      }
    }
    const header: PreparedHeader = {
      version: 1,
      synthetic,
      imageSize,
      labels: own.map(({ file }) => (file.label === 'PNEUMONIA' ? 1 : 0)),
      patients: own.map(({ file }) => file.patient),
      sha256: hash.digest('hex'),
    };
    await writeJson(join(output, `${split}.json`), header);
  }
}

async function decodeFile(data: string, { file, index }: Indexed, imageSize: number): Promise<Uint8Array> {
  // The name may be a patient's: whoever is in the hospital finds it in the manifest.
  const where = `files[${index}] of manifest.json (${file.split}, ${file.label}, SHA-256 ${file.sha256.slice(0, 8)}...)`;
  const remedy = 'run upload-data for this hospital again';
  const bytes = await readFile(join(data, file.path)).catch((error: unknown) =>
    fail(where, `the image cannot be read: ${withoutPath(error)}`, remedy),
  );
  if (sha256(bytes) !== file.sha256) fail(where, 'the image changed since it was imported', remedy);
  return decodeRadiograph(bytes, imageSize).catch((error: unknown) => fail(where, messageOf(error), remedy, error));
}

/** Whether a cache entry is there and every array has the hash it was made with. */
async function isIntact(folder: string): Promise<boolean> {
  try {
    for (const split of SPLITS) await readPrepared(folder, split);
    return true;
  } catch {
    // Missing or damaged: it is made anew.
    return false;
  }
}

/** Puts the arrays into the cache under their final name in one step; two runs may do so at once. */
async function store(output: string, cached: string): Promise<void> {
  await sweepPartials(dirname(cached));
  const partial = `${cached}.${randomUUID()}${PARTIAL}`;
  await mkdir(partial, { recursive: true });
  await copyFiles(output, partial);
  await rm(cached, { recursive: true, force: true });
  // The other run's entry has the same bytes: whoever comes second steps back.
  await rename(partial, cached).catch(() => rm(partial, { recursive: true, force: true }));
}

/** Removes what killed runs left in the cache. */
async function sweepPartials(cache: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  for (const name of await readdir(cache)) {
    if (!name.endsWith(PARTIAL)) continue;
    const path = join(cache, name);
    // Another run may sweep, or finish its own, at the same time.
    const status = await stat(path).catch(() => undefined);
    if (status && Date.now() - status.mtimeMs > PARTIAL_AGE_MS) await rm(path, { recursive: true, force: true });
  }
}

async function copyFiles(from: string, to: string): Promise<void> {
  for (const name of FILES) await copyFile(join(from, name), join(to, name), constants.COPYFILE_FICLONE);
}

async function summarise(
  output: string,
  manifest: Manifest,
  imageSize: number,
  decoded: number,
): Promise<PreparedSummary> {
  const hashOf = async (split: Split) => (await readPrepared(output, split)).sha256;
  return {
    synthetic: manifest.synthetic,
    imageSize,
    splits: countSplits(manifest.files),
    sha256: { train: await hashOf('train'), val: await hashOf('val'), test: await hashOf('test') },
    decoded,
  };
}
