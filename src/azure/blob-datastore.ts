/**
 * @file A datastore that is a container of Azure Blob Storage, over Microsoft's @azure/storage-blob. A file is a blob of its path, so
 * whatever reads blobs reads it: Azure ML's mounts, Storage Explorer. What Azure ML or people wrote is read as it is.
 *
 * A file appears in one step: its blocks are staged, then committed on the condition that nothing else came there. A folder: see
 * folder-publication.ts. SHA-256 is kept in each blob's metadata and checked when it is fetched; of a blob without it the content is read.
 * Sends nothing twice that an earlier attempt has staged. Renames nothing: a folder that goes, goes blob by blob, behind its record.
 * Of all this a run on Azure ML uses `fetch`: there Azure ML writes.
 */
import { createHash, randomUUID } from 'node:crypto';
import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { TokenCredential } from '@azure/identity';
import type { ContainerClient } from '@azure/storage-blob';
import { concurrently, fail } from '../base/index.ts';
import {
  type ContentHash,
  checkDatastorePath,
  codeOf,
  type Datastore,
  explainFullDisk,
  folderHash,
  hashContent,
  UNFINISHED,
  walk,
} from '../workspace/index.ts';
import type { BlobPlace } from './azureml-client.ts';
import { type BlobEntry, blobsUnder, fileMetadata, lookAt, type Seen, visibleOf, within } from './blob-view.ts';
import { explained, statusOf } from './errors.ts';
import { decideFolder, removeBlob, settleFolder, unlessOvertaken } from './folder-publication.ts';
import { blocksOf, type FileBlocks, stageBlocks, transferTimeoutMs } from './staged-blocks.ts';

/** The container of a datastore. */
export interface BlobPlaceOptions {
  readonly credential: TokenCredential;
  readonly blobUrl: (account: string) => string;
  readonly place: BlobPlace;
}

export async function blobContainer({ credential, blobUrl, place }: BlobPlaceOptions): Promise<ContainerClient> {
  const { BlobServiceClient } = await import('@azure/storage-blob');
  return new BlobServiceClient(blobUrl(place.account), credential).getContainerClient(place.container);
}

const FILES_AT_ONCE = 4;
/** How often somebody else may be quicker. */
const ATTEMPTS = 8;

/** A local file and where it goes. */
interface Draft extends FileBlocks {
  /** On this machine. */
  readonly file: string;
  /** In the folder that is published; `''` for a file that is published itself. */
  readonly path: string;
}

/** The container as the datastore `name`. Asks nothing yet. */
export function openBlobDatastore(name: string, container: ContainerClient): Datastore {
  const where = `datastore "${name}"`;
  const checked = (path: string): string => checkDatastorePath(path, where);
  /** Calls `attempt` again while somebody else is quicker: it gives undefined, or finds a blob other than it has seen. */
  const untilDone = async <T>(path: string, attempt: () => Promise<T | undefined>): Promise<T> => {
    for (let tries = 0; tries < ATTEMPTS; tries++) {
      try {
        const result = await attempt();
        if (result !== undefined) return result;
      } catch (error) {
        if (!isChanged(error)) throw error;
      }
    }
    return fail(where, `others change ${path} all the time`, 'try again when they have ended');
  };
  const seenAt = async (path: string): Promise<Seen> => {
    const seen = await lookAt(container, path);
    return seen.kind === 'nothing' ? fail(where, `nothing lies at ${path}`, 'run the step that writes it first') : seen;
  };

  return {
    name,
    list: async (folder) => {
      const prefix = folder === '' ? '' : `${checked(folder)}/`;
      return explained(where, async () => {
        const entries = await blobsUnder(container, prefix);
        return (await visibleOf(container, entries)).map((entry) => entry.name);
      });
    },
    exists: async (path) => {
      const at = checked(path);
      return explained(where, async () => (await lookAt(container, at)).kind !== 'nothing');
    },
    hash: async (path) => {
      const at = checked(path);
      return explained(where, () => untilDone(at, async () => contentOf(container, at, await seenAt(at))));
    },
    fetch: async (path, target) => {
      const at = checked(path);
      return explained(where, () =>
        untilDone(at, async () => fetchSeen(container, where, at, await seenAt(at), target)),
      );
    },
    publish: async (finished, path, { replace = false } = {}) => {
      const at = checked(path);
      const drafts = await draftsOf(where, finished, at);
      const content = drafts[0]?.path === '' ? contentHash(drafts[0]) : folderHash(drafts);
      return explained(where, async () => {
        await untilDone(at, async () => {
          const seen = await lookAt(container, at);
          if (seen.record?.state === 'committing') {
            await settleFolder(container, seen.record);
            return undefined;
          }
          if (seen.kind !== 'nothing') {
            if ((await contentOf(container, at, seen)).sha256 === content.sha256) return true;
            if (!replace) {
              const remedy = 'a finished output never changes; remove it first to redo it';
              return fail(where, `${at} exists with other content`, remedy);
            }
          }
          return drafts[0]?.path === ''
            ? publishFile(container, drafts[0], at, seen)
            : publishFolder(container, drafts, at, seen);
        });
        await rm(finished, { recursive: true, force: true });
        return content;
      });
    },
    remove: async (path) => {
      const at = checked(path);
      await explained(where, async () => removeSeen(container, await lookAt(container, at)));
    },
  };
}

const contentHash = ({ sha256, bytes }: ContentHash): ContentHash => ({ sha256, bytes });

/** A blob is gone, or another than the one that was seen. */
const isChanged = (error: unknown): boolean => statusOf(error) === 412 || codeOf(error) === 'BlobNotFound';

/** Reads what is to be published. */
async function draftsOf(where: string, finished: string, path: string): Promise<readonly Draft[]> {
  const status = await lstat(finished).catch((cause: unknown) => {
    if (codeOf(cause) !== 'ENOENT') throw cause;
    return fail(where, `nothing to publish as ${path}: ${finished} is missing`, undefined, cause);
  });
  if (!status.isDirectory()) {
    // Says what it is instead.
    if (!status.isFile()) await hashContent(finished);
    return [{ file: finished, path: '', ...(await blocksOf(finished)) }];
  }
  const { files } = await walk(finished);
  return concurrently(files, FILES_AT_ONCE, async (each) => {
    const file = join(finished, each);
    const inside = each.split(sep).join('/');
    checkDatastorePath(`${path}/${inside}`, where);
    return { file, path: inside, ...(await blocksOf(file)) };
  });
}

/** undefined: somebody else was quicker. */
async function publishFile(
  container: ContainerClient,
  draft: Draft,
  path: string,
  seen: Seen,
): Promise<true | undefined> {
  const blob = container.getBlockBlobClient(path);
  await stageBlocks(blob, draft.file, draft);
  const committed = await unlessOvertaken(() =>
    blob.commitBlockList([...draft.blocks], {
      metadata: fileMetadata(draft.sha256),
      conditions: seen.blob ? { ifMatch: seen.blob.etag } : { ifNoneMatch: '*' },
      ...within(),
    }),
  );
  if (committed === 'overtaken') return undefined;
  // The file hides the folder that it replaces.
  await removeSeen(container, { ...seen, blob: undefined });
  return true;
}

/** undefined: somebody else was quicker. */
async function publishFolder(
  container: ContainerClient,
  drafts: readonly Draft[],
  path: string,
  seen: Seen,
): Promise<true | undefined> {
  const files = drafts.map((draft) => ({ ...draft, name: `${path}/${draft.path}` }));
  await concurrently(files, FILES_AT_ONCE, (draft) =>
    stageBlocks(container.getBlockBlobClient(draft.name), draft.file, draft),
  );
  const record = await decideFolder(container, { id: randomUUID(), folder: path }, files, seen);
  if (!record) return undefined;
  await settleFolder(container, record);
  return true;
}

/** The record goes first: without it readers see none of the folder's files. */
async function removeSeen(container: ContainerClient, { blob, under, record }: Seen): Promise<void> {
  if (blob) await removeBlob(container, blob.name, blob.etag);
  if (record) await removeBlob(container, record.name, record.etag);
  const others = under.filter((entry) => entry !== record);
  await concurrently(others, 2 * FILES_AT_ONCE, ({ name, etag }) => removeBlob(container, name, etag));
}

async function contentOf(container: ContainerClient, path: string, { files, kind }: Seen): Promise<ContentHash> {
  const hashed = await concurrently(files, FILES_AT_ONCE, async (entry) => ({
    path: entry.name.slice(path.length + 1),
    sha256: entry.sha256 ?? (await hashBlob(container, entry)),
    bytes: entry.bytes,
  }));
  return kind === 'file' ? contentHash(hashed[0]!) : folderHash(hashed);
}

async function hashBlob(container: ContainerClient, { name, etag, bytes }: BlobEntry): Promise<string> {
  const { readableStreamBody } = await container.getBlobClient(name).download(0, undefined, reading(etag, bytes));
  const digest = createHash('sha256');
  for await (const piece of readableStreamBody ?? []) digest.update(piece);
  return digest.digest('hex');
}

const reading = (etag: string, bytes: number) => ({
  abortSignal: AbortSignal.timeout(transferTimeoutMs(bytes)),
  conditions: { ifMatch: etag },
  maxRetryRequests: 4,
});

async function fetchSeen(
  container: ContainerClient,
  where: string,
  path: string,
  { files, kind }: Seen,
  target: string,
): Promise<ContentHash> {
  const unfinished = join(dirname(target), `${UNFINISHED}${randomUUID()}`);
  const bytes = files.reduce((sum, entry) => sum + entry.bytes, 0);
  try {
    return await explainFullDisk(where, dirname(target), bytes, async () => {
      if (kind === 'folder') await mkdir(unfinished);
      const hashed = await concurrently(files, FILES_AT_ONCE, async (entry) => {
        const inside = entry.name.slice(path.length + 1);
        const file = kind === 'file' ? unfinished : join(unfinished, ...inside.split('/'));
        await mkdir(dirname(file), { recursive: true });
        const blob = container.getBlobClient(entry.name);
        await blob.downloadToFile(file, 0, undefined, reading(entry.etag, entry.bytes));
        const content = await hashContent(file, { flush: true });
        if (content.sha256 !== (entry.sha256 ?? content.sha256)) {
          fail(where, `${entry.name} is damaged: its SHA-256 is not the one it was published with`, 'publish it again');
        }
        return { path: inside, ...content };
      });
      await rm(target, { recursive: true, force: true });
      await rename(unfinished, target);
      return kind === 'file' ? contentHash(hashed[0]!) : folderHash(hashed);
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
