/**
 * @file Fills a hospital's folder with its radiographs: `{train,val,test}/{NORMAL,PNEUMONIA}/<file>`, `summary.json` (counts,
 * may leave the hospital), `quarantine.json` and `manifest.json` (file names, stay). Every image is decoded once; a
 * file that cannot be used is left out, counted and named, and never stops the import. The manifest is written last
 * and in one step: a folder without it is unfinished.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { concurrently, fail, messageOf, sha256 } from '../base/index.ts';
import { type Collection, openFolder } from './collection.ts';
import { checkRadiograph, UnusableImage } from './decode.ts';
import { codeOf, failDiskFull, isDiskFull, withoutPath } from './disk.ts';
import { downloadKaggle, type KaggleCredentials } from './kaggle.ts';
import { byCodePoint, CLASSES, SPLITS } from './layout.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { countSplits, type ImportSummary, type LeftOutReason, type Manifest, writeJson } from './manifest.ts';
import { checkShare, ownFiles, type Partition } from './partition.ts';
import { openPhantoms } from './phantoms.ts';
import type { Placed } from './roundRobin.ts';
import type { Source } from './source.ts';
import { openZip } from './zip.ts';

export interface UploadRequest {
  readonly source: Source;
  /** Which hospital this is, 0 to `siloCount - 1`. */
  readonly siloIndex: number;
  readonly siloCount: number;
  readonly partition: Partition;
  /** The same at every hospital, or their shares overlap. */
  readonly seed: number;
  /** Empty folder to fill. */
  readonly output: string;
  /** Folder for the downloaded archive; it is removed afterwards. */
  readonly scratch: string;
  /** For Kaggle only. */
  readonly credentials?: KaggleCredentials | undefined;
  readonly limits?: Partial<Limits> | undefined;
  /** Called as bytes or images get done; `what` says which. */
  readonly onProgress?: ((done: number, total: number, what: UploadProgress) => void) | undefined;
}

export type UploadProgress = 'bytes downloaded' | 'images checked';

/** Images decoded at the same time. */
const CONCURRENCY = 4;

/**
 * Imports one hospital's share of a source into an empty folder and returns the counts, which are also in its
 * `summary.json`. The same request gives the same files.
 * Throws one clear line: a source that cannot be reached or read, a class without usable image, a folder that is not
 * empty, a full disk.
 */
export async function uploadData(request: UploadRequest): Promise<ImportSummary> {
  const { source, siloIndex, siloCount, partition, seed, output } = request;
  const synthetic = source.kind === 'phantom';
  const share = { siloIndex, siloCount, partition, seed };
  checkShare(share, synthetic);
  await requireEmpty(output);
  const collection = await openSource(request);
  try {
    // Phantoms are made for one hospital: what is left to do is the split.
    const own = ownFiles(collection.files, synthetic ? { ...share, siloIndex: 0, siloCount: 1 } : share);
    const examined = await examineAll(collection, own, request);
    const judged = partition.method === 'round-robin' ? examined : withoutDuplicates(examined);
    const manifest = manifestOf(judged, synthetic);
    const summary: ImportSummary = {
      synthetic,
      source: source.kind,
      collectionSha256: sha256(collection.files.map(({ label, name }) => `${label}/${name}\n`).join('')),
      partition,
      seed,
      siloIndex,
      siloCount,
      given: own.length,
      used: manifest.files.length,
      leftOut: countReasons(judged),
      patients: new Set(manifest.files.map(({ patient }) => patient)).size,
      splits: countSplits(manifest.files),
    };
    requireBothClasses(summary);
    await finish(output, judged, manifest, summary);
    return summary;
  } catch (error) {
    if (isDiskFull(error)) return await failDiskFull(`upload-data of hospital ${siloIndex}`, output, 'more', error);
    throw error;
  } finally {
    collection.close();
  }
}

/** An image of this hospital after a look at it: written to the output, and perhaps to be left out. */
interface Examined extends Placed {
  /** See {@link pathOf}. */
  readonly path: string;
  /** Of the bytes; empty when they could not be read. */
  readonly hash: string;
  readonly reason?: LeftOutReason;
  readonly detail?: string;
}

async function openSource({
  source,
  siloIndex,
  seed,
  scratch,
  credentials,
  onProgress,
  ...request
}: UploadRequest): Promise<Collection> {
  const limits = { ...DEFAULT_LIMITS, ...request.limits };
  switch (source.kind) {
    case 'folder':
      return openFolder(source.path, limits.fileBytes);
    case 'zip':
      return openZip(source.path, `zip ${source.path}`, limits);
    case 'phantom':
      return openPhantoms(source, siloIndex, seed);
    case 'kaggle': {
      const file = join(scratch, 'kaggle.zip');
      try {
        await downloadKaggle({
          ...source,
          credentials,
          file,
          limits,
          onProgress: (done, total) => onProgress?.(done, total, 'bytes downloaded'),
        });
        return await openZip(file, `archive of ${source.dataset}`, limits);
      } finally {
        // An open archive is still readable, and the name is gone whatever happens next.
        await rm(file, { force: true });
      }
    }
  }
}

async function requireEmpty(output: string): Promise<void> {
  await mkdir(output, { recursive: true });
  const { length } = await readdir(output);
  if (length > 0) {
    fail(output, `expected an empty folder, found ${length} files or folders`, 'choose another, or empty this one');
  }
}

async function examineAll(
  collection: Collection,
  own: readonly Placed[],
  { output, onProgress }: UploadRequest,
): Promise<Examined[]> {
  for (const split of SPLITS) {
    for (const label of CLASSES) await mkdir(join(output, split, label), { recursive: true });
  }
  const repeated = withNameOfAnother(own);
  let done = 0;
  return concurrently(own, CONCURRENCY, async (placed, index) => {
    const examined = repeated.has(placed)
      ? { ...placed, path: pathOf(placed), hash: '', reason: 'same name twice' as const }
      : await examine(collection, placed, index, output);
    done += 1;
    onProgress?.(done, own.length, 'images checked');
    return examined;
  });
}

/** `<split>/<class>/<file>`. */
const pathOf = ({ split, file }: Placed): string => `${split}/${file.label}/${file.name}`;

/** Images that would be written over another: NORMAL/a.png beside normal/a.png. The first by path is not among them. */
function withNameOfAnother(own: readonly Placed[]): ReadonlySet<Placed> {
  const byPath = [...Map.groupBy(own, pathOf).values()];
  return new Set(byPath.flatMap((same) => same.toSorted((a, b) => byCodePoint(a.file.path, b.file.path)).slice(1)));
}

async function examine(collection: Collection, placed: Placed, index: number, output: string): Promise<Examined> {
  const path = pathOf(placed);
  let bytes: Uint8Array;
  try {
    bytes = await collection.read(placed.file);
  } catch (error) {
    return { ...placed, path, hash: '', reason: 'cannot be read', detail: messageOf(error) };
  }
  const hash = sha256(bytes);
  try {
    await checkRadiograph(bytes);
  } catch (error) {
    if (!(error instanceof UnusableImage)) throw error;
    return { ...placed, path, hash, reason: error.reason, detail: messageOf(error) };
  }
  try {
    await writeFile(join(output, path), bytes, { flag: 'wx' });
  } catch (error) {
    // A disk that does not tell a.png from A.png.
    if (codeOf(error) === 'EEXIST') return { ...placed, path, hash, reason: 'same name twice' };
    if (isDiskFull(error)) throw error;
    const which = `image ${index} (${placed.split}, ${placed.file.label}, SHA-256 ${hash.slice(0, 8)}...)`;
    fail(which, `cannot be written: ${withoutPath(error)}`, 'check the folder that it is imported to');
  }
  return { ...placed, path, hash };
}

/** Of images with the same bytes keeps the first by path, or none when they have different labels. */
function withoutDuplicates(examined: readonly Examined[]): Examined[] {
  const usable = examined.filter(({ reason }) => reason === undefined);
  const reasons = new Map<Examined, LeftOutReason>();
  for (const copies of Map.groupBy(usable, ({ hash }) => hash).values()) {
    const contradicting = copies.some(({ file }) => file.label !== copies[0]!.file.label);
    const sorted = copies.toSorted((a, b) => byCodePoint(a.file.path, b.file.path));
    for (const copy of contradicting ? sorted : sorted.slice(1)) {
      reasons.set(copy, contradicting ? 'same image under both labels' : 'exact duplicate');
    }
  }
  return examined.map((image) => {
    const reason = reasons.get(image);
    return reason === undefined ? image : { ...image, reason };
  });
}

function manifestOf(examined: readonly Examined[], synthetic: boolean): Manifest {
  const used = examined.filter(({ reason }) => reason === undefined).toSorted((a, b) => byCodePoint(a.path, b.path));
  const patients = [...new Set(used.map(({ file }) => file.patient))].sort(byCodePoint);
  const indexOf = new Map(patients.map((patient, index) => [patient, index]));
  return {
    version: 1,
    synthetic,
    files: used.map(({ path, hash, split, file }) => ({
      path,
      sha256: hash,
      split,
      label: file.label,
      patient: indexOf.get(file.patient)!,
    })),
  };
}

function countReasons(examined: readonly Examined[]): ImportSummary['leftOut'] {
  const counts: Partial<Record<LeftOutReason, number>> = {};
  for (const { reason } of examined) {
    if (reason !== undefined) counts[reason] = (counts[reason] ?? 0) + 1;
  }
  return counts;
}

function requireBothClasses({ splits, given, leftOut, siloIndex, partition }: ImportSummary): void {
  const where = `images of hospital ${siloIndex}`;
  const why = Object.entries(leftOut).map(([reason, count]) => `${count} ${reason}`);
  const found = `of ${given} images given, left out: ${why.join(', ') || 'none'}`;
  for (const label of CLASSES) {
    // With a label skew a hospital may well have a single class.
    if (splits.train[label].images === 0 && partition.labelSkewAlpha === undefined) {
      fail(where, `no usable ${label} image to train on; ${found}`, 'check the source, or use fewer hospitals');
    }
  }
  if (CLASSES.every((label) => splits.train[label].images === 0)) {
    fail(where, `no usable image to train on; ${found}`, 'check the source, or use fewer hospitals');
  }
}

async function finish(
  output: string,
  examined: readonly Examined[],
  manifest: Manifest,
  summary: ImportSummary,
): Promise<void> {
  const leftOut = examined.filter(({ reason }) => reason !== undefined);
  for (const { path, reason } of leftOut) {
    // Under that path lies the other of the name.
    if (reason === 'same name twice') continue;
    await rm(join(output, path), { force: true }).catch((error: unknown) =>
      fail(output, `an image left out cannot be removed: ${withoutPath(error)}`, 'check its permissions'),
    );
  }
  const quarantine = leftOut.map(({ file, reason, detail }) => ({
    path: file.path,
    label: file.label,
    reason,
    detail,
  }));
  await writeJson(join(output, 'quarantine.json'), quarantine);
  await writeJson(join(output, 'summary.json'), summary);
  await writeJson(join(output, 'manifest.json'), manifest);
}
