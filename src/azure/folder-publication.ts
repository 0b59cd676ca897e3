/**
 * @file Publishing a folder as many blobs so that readers see all of them or none. First every file is staged as blocks, which nobody
 * sees. Then one conditional write of the folder's record decides: of several who publish at once one wins. The record holds what is left
 * to do (which blocks make which blob, which blobs go), so whoever finds it unfinished can finish it, also after the one who wrote it was
 * killed, and several may do so at once. Last the record says that the folder is complete, and readers see it.
 *
 * Every blob is changed only if it is still what it was before the decision, so a late writer changes nothing of a later publication.
 * Readers that look past fedrad, such as a mount, see files appear one by one between decision and completion: moments, since nothing is
 * sent then.
 */
import type { ContainerClient } from '@azure/storage-blob';
import { z } from 'zod';
import { concurrently, fail } from '../base/index.ts';
import {
  type BlobEntry,
  blobAt,
  type Claim,
  fileMetadata,
  recordMetadata,
  recordName,
  type Seen,
  within,
} from './blob-view.ts';
import { statusOf } from './errors.ts';
import type { FileBlocks } from './staged-blocks.ts';

const BLOBS_AT_ONCE = 8;
const RECORD_TIMEOUT_MS = 600_000;
/** A record of more is not fedrad's. */
const MAX_RECORD_BYTES = 256 << 20;

const recordSchema = z.strictObject({
  format: z.literal('fedrad-folder-1'),
  /** Blobs to make, by their whole names; `over` is the etag of what they replace. */
  files: z.array(
    z.strictObject({
      name: z.string(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      blocks: z.array(z.string()),
      over: z.string().exactOptional(),
    }),
  ),
  /** Blobs of the old content that go. */
  remove: z.array(z.strictObject({ name: z.string(), etag: z.string() })),
});

type FolderRecord = z.infer<typeof recordSchema>;

/** A file of the folder to be, whose blocks are staged. */
export interface StagedFile extends FileBlocks {
  /** The blob's whole name. */
  readonly name: string;
}

/** Whether somebody else was quicker: look again. */
export type Outcome = 'done' | 'overtaken';

/**
 * Decides for these files in the place of what was `seen` before they were staged; `settleFolder` does the rest. Gives the record's blob;
 * undefined: somebody else was quicker.
 */
export async function decideFolder(
  container: ContainerClient,
  claim: Claim,
  files: readonly StagedFile[],
  { blob, under, record: before }: Seen,
): Promise<BlobEntry | undefined> {
  const name = recordName(claim.folder);
  const old = new Map(under.filter((entry) => entry !== before).map((entry) => [entry.name, entry]));
  const content: FolderRecord = {
    format: 'fedrad-folder-1',
    files: files.map((file) => {
      const over = old.get(file.name)?.etag;
      old.delete(file.name);
      const { name, sha256, blocks } = file;
      return { name, sha256, blocks: [...blocks], ...(over === undefined ? {} : { over }) };
    }),
    remove: [...(blob ? [blob] : []), ...old.values()].map(({ name, etag }) => ({ name, etag })),
  };
  const text = JSON.stringify(content);
  const decided = await unlessOvertaken(() =>
    container.getBlockBlobClient(name).upload(text, Buffer.byteLength(text), {
      metadata: recordMetadata(claim, 'committing'),
      conditions: before ? { ifMatch: before.etag } : { ifNoneMatch: '*' },
      ...within(RECORD_TIMEOUT_MS),
    }),
  );
  if (decided === 'overtaken') return undefined;
  // Whoever was quick may have finished it already: then it has another etag, and settling it is nothing.
  return blobAt(container, name);
}

/** Does what is left of a decided publication. `record` is the record's blob. */
export async function settleFolder(container: ContainerClient, record: BlobEntry): Promise<void> {
  const claim = record.claim;
  if (record.state !== 'committing' || !claim) return;
  const content = await readRecord(container, record);
  if (!content) return;
  const { files, remove } = content;
  await concurrently(files, BLOBS_AT_ONCE, async ({ name, sha256, blocks, over }) => {
    const committed = await unlessOvertaken(() =>
      container.getBlockBlobClient(name).commitBlockList(blocks, {
        metadata: fileMetadata(sha256, claim),
        conditions: over === undefined ? { ifNoneMatch: '*' } : { ifMatch: over },
        ...within(),
      }),
    );
    if (committed === 'done') return;
    // Another has done it, or another publication came since.
    if ((await blobAt(container, name))?.claim?.id === claim.id) return;
    if ((await blobAt(container, record.name))?.etag !== record.etag) return;
    fail(
      `container ${container.containerName}`,
      `${claim.folder} was left unfinished, and ${name} has been changed since`,
      `remove ${claim.folder} and run the step again`,
    );
  });
  await concurrently(remove, BLOBS_AT_ONCE, ({ name, etag }) => removeBlob(container, name, etag));
  const done = JSON.stringify({ ...content, files: [], remove: [] } satisfies FolderRecord);
  await unlessOvertaken(() =>
    container.getBlockBlobClient(record.name).upload(done, Buffer.byteLength(done), {
      metadata: recordMetadata(claim, 'complete'),
      conditions: { ifMatch: record.etag },
      ...within(),
    }),
  );
}

/** undefined: it is another one by now. */
async function readRecord(
  container: ContainerClient,
  { name, etag, bytes }: BlobEntry,
): Promise<FolderRecord | undefined> {
  const where = `container ${container.containerName}: ${name}`;
  if (bytes > MAX_RECORD_BYTES) fail(where, 'too large for a record of fedrad', 'remove its folder');
  let text = '';
  const outcome = await unlessOvertaken(async () => {
    const options = { conditions: { ifMatch: etag }, maxRetryRequests: 4, ...within(RECORD_TIMEOUT_MS) };
    text = (await container.getBlobClient(name).downloadToBuffer(0, bytes, options)).toString();
  });
  if (outcome === 'overtaken') return undefined;
  const parsed = recordSchema.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : fail(where, 'not a record of this version of fedrad', 'remove its folder');
}

/** Only the blob that was seen; one that is gone, or another by now, is left alone. */
export async function removeBlob(container: ContainerClient, name: string, etag: string): Promise<void> {
  const blob = container.getBlobClient(name);
  await unlessOvertaken(() =>
    blob.deleteIfExists({ deleteSnapshots: 'include', conditions: { ifMatch: etag }, ...within() }),
  );
}

/** A condition that does not hold, or blocks that another's commit has dropped. */
export async function unlessOvertaken(action: () => Promise<unknown>): Promise<Outcome> {
  try {
    await action();
    return 'done';
  } catch (error) {
    const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
    const status = statusOf(error);
    if (status === 412 || (status === 409 && code === 'BlobAlreadyExists')) return 'overtaken';
    if (code === 'InvalidBlockList') return 'overtaken';
    throw error;
  }
}
