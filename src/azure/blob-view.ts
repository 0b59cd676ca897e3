/**
 * @file What of a container's blobs a reader may see. A folder that fedrad publishes becomes many blobs, and Azure Storage changes one at a
 * time; so each of them names its publication, and the folder's record, a blob beside them, says which publication counts and whether all
 * of it is there. A blob without such a mark (Azure ML's own outputs, what somebody has uploaded) is seen as it is. Reads only.
 */
import type { ContainerClient } from '@azure/storage-blob';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { checkDatastorePath, UNFINISHED } from '../workspace/index.ts';
import { statusOf } from './errors.ts';

/** A blob that is not part of a path's name, only of fedrad's book-keeping. */
const RECORD = `${UNFINISHED}folder`;

/** The blob that says what a published folder is. */
export const recordName = (folder: string): string => `${folder}/${RECORD}`;

/** `committing`: decided, but not yet all there. */
export type RecordState = 'committing' | 'complete';

/** Which publication of which folder. */
export interface Claim {
  readonly id: string;
  readonly folder: string;
}

export interface BlobEntry {
  readonly name: string;
  /** In quotes, as conditions take it. */
  readonly etag: string;
  readonly bytes: number;
  /** What fedrad wrote down of it; undefined for a blob that somebody else wrote. */
  readonly sha256: string | undefined;
  /** Of a file in a published folder. */
  readonly claim: Claim | undefined;
  /** Of a record. */
  readonly state: RecordState | undefined;
}

/** More blobs than a folder of a hospital has. */
const MAX_BLOBS = 500_000;
const LIST_TIMEOUT_MS = 600_000;
export const CALL_TIMEOUT_MS = 120_000;

export const within = (timeoutMs = CALL_TIMEOUT_MS) => ({ abortSignal: AbortSignal.timeout(timeoutMs) });

const metadataSchema = z.object({
  fedrad_sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  fedrad_publication: z.uuid().optional(),
  /** base64url: headers hold ASCII. */
  fedrad_folder: z.string().optional(),
  fedrad_state: z.enum(['committing', 'complete']).optional(),
  /** A folder, where the storage account has such things. */
  hdi_isfolder: z.string().optional(),
});

/** The metadata of a file's blob. */
export const fileMetadata = (sha256: string, claim?: Claim): Record<string, string> => ({
  fedrad_sha256: sha256,
  ...(claim === undefined ? {} : claimMetadata(claim)),
});

export const recordMetadata = (claim: Claim, state: RecordState): Record<string, string> => ({
  ...claimMetadata(claim),
  fedrad_state: state,
});

const claimMetadata = ({ id, folder }: Claim): Record<string, string> => ({
  fedrad_publication: id,
  fedrad_folder: Buffer.from(folder).toString('base64url'),
});

/** undefined for what is no file: the mark of a folder. */
function entryOf(
  name: string,
  etag: string | undefined,
  bytes: number | undefined,
  metadata: Record<string, string> | undefined,
): BlobEntry | undefined {
  const lower = Object.fromEntries(Object.entries(metadata ?? {}).map(([key, value]) => [key.toLowerCase(), value]));
  const parsed = metadataSchema.safeParse(lower);
  // Marks that are not fedrad's count for nothing.
  const marks = parsed.success ? parsed.data : {};
  if (lower['hdi_isfolder'] === 'true') return undefined;
  const { fedrad_publication: id, fedrad_folder: encoded, fedrad_sha256: sha256, fedrad_state: state } = marks;
  const folder = encoded === undefined ? undefined : Buffer.from(encoded, 'base64url').toString();
  // A copy of the blob elsewhere brings its marks along.
  const isInside = folder !== undefined && name.startsWith(`${folder}/`);
  return {
    name,
    etag: `"${(etag ?? '').replaceAll('"', '')}"`,
    bytes: bytes ?? 0,
    sha256,
    claim: isInside && id !== undefined ? { id, folder } : undefined,
    state,
  };
}

/** The blob of this name; undefined where there is none. Whether a reader may see it is another question. */
export async function blobAt(container: ContainerClient, name: string): Promise<BlobEntry | undefined> {
  try {
    const { etag, contentLength, metadata } = await container.getBlobClient(name).getProperties(within());
    return entryOf(name, etag, contentLength, metadata);
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** All blobs whose names begin with `prefix`, records and leftovers included. */
export async function blobsUnder(container: ContainerClient, prefix: string): Promise<readonly BlobEntry[]> {
  const found: BlobEntry[] = [];
  const pages = container.listBlobsFlat({ prefix, includeMetadata: true, ...within(LIST_TIMEOUT_MS) });
  for await (const { name, properties, metadata } of pages) {
    const entry = entryOf(name, properties.etag, properties.contentLength, metadata);
    if (entry && found.push(entry) > MAX_BLOBS) {
      return fail(container.containerName, `more than ${MAX_BLOBS} blobs at ${prefix}`, 'name a folder in it');
    }
  }
  return found;
}

/** Of these blobs, which are all under one prefix, those that readers see, in the order of their names. */
export async function visibleOf(
  container: ContainerClient,
  entries: readonly BlobEntry[],
): Promise<readonly BlobEntry[]> {
  const records = new Map<string, BlobEntry | undefined>();
  for (const entry of entries) {
    if (entry.name.endsWith(`/${RECORD}`)) records.set(entry.name.slice(0, -RECORD.length - 1), entry);
  }
  for (const folder of new Set(entries.flatMap(({ claim }) => (claim ? [claim.folder] : [])))) {
    if (!records.has(folder)) records.set(folder, await blobAt(container, recordName(folder)));
  }
  const files = new Map<string, BlobEntry>();
  for (const entry of entries) {
    if (entry.name.split('/').some((segment) => segment.startsWith(UNFINISHED))) continue;
    const counts = entry.claim ? isOf(entry.claim, records.get(entry.claim.folder)) : true;
    const unfinished = ancestorsOf(entry.name).some((folder) => records.get(folder)?.state === 'committing');
    if (!counts || unfinished) continue;
    checkDatastorePath(entry.name, `container ${container.containerName}`);
    files.set(entry.name, entry);
  }
  // Where a file has taken a folder's place, what is left of the folder is not seen.
  return [...files.values()]
    .filter(({ name }) => !ancestorsOf(name).some((folder) => files.has(folder)))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const isOf = ({ id }: Claim, record: BlobEntry | undefined): boolean =>
  record?.state === 'complete' && record.claim?.id === id;

const ancestorsOf = (name: string): string[] =>
  name.split('/').flatMap((_, index, segments) => (index === 0 ? [] : [segments.slice(0, index).join('/')]));

/** What readers see at a path. */
export interface Seen {
  /** The blob of the path itself, seen or not. */
  readonly blob: BlobEntry | undefined;
  /** The blobs under the path, seen or not; the record among them. */
  readonly under: readonly BlobEntry[];
  readonly record: BlobEntry | undefined;
  readonly kind: 'nothing' | 'file' | 'folder';
  /** A file is itself its only one. */
  readonly files: readonly BlobEntry[];
}

export async function lookAt(container: ContainerClient, path: string): Promise<Seen> {
  const blob = await blobAt(container, path);
  const under = await blobsUnder(container, `${path}/`);
  const record = under.find(({ name }) => name === recordName(path));
  const file = blob ? await visibleOf(container, [blob]) : [];
  if (file.length > 0) return { blob, under, record, kind: 'file', files: file };
  const files = await visibleOf(container, under);
  const isThere = files.length > 0 || record?.state === 'complete';
  return { blob, under, record, kind: isThere ? 'folder' : 'nothing', files };
}
