/**
 * @file A file as the blocks of a blob (Put Block, Put Block List of Azure Blob Storage): blocks that are staged are nobody's to see until
 * a list commits them. A block is named by its content, so one that an earlier, killed attempt has staged is known again and is not sent
 * twice. Azure drops blocks that nobody commits after a week.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { BlockBlobClient } from '@azure/storage-blob';
import { concurrently, fail } from '../base/index.ts';
import type { ContentHash } from '../workspace/index.ts';
import { within } from './blob-view.ts';
import { statusOf } from './errors.ts';

/** 4 MiB: Azure takes 50 000 blocks a blob, so a file has at most 195 GiB. */
const BLOCK_BYTES = 4 << 20;
const MAX_BLOCKS = 50_000;
const BLOCKS_AT_ONCE = 4;

/** A file and the names of its blocks, in order. */
export interface FileBlocks extends ContentHash {
  readonly blocks: readonly string[];
}

/** Reads a file. */
export async function blocksOf(path: string): Promise<FileBlocks> {
  await using file = await open(path, 'r');
  const digest = createHash('sha256');
  const blocks: string[] = [];
  for (let bytes = 0; ; ) {
    const block = await readBlock(file, bytes);
    if (block.length === 0) return { sha256: digest.digest('hex'), bytes, blocks };
    if (blocks.length === MAX_BLOCKS) fail(path, 'larger than 195 GiB, the most that a blob holds', 'split it');
    digest.update(block);
    bytes += block.length;
    blocks.push(blockName(block, blocks.length));
  }
}

/** The bytes from `start` on, a block of them; fewer only at the end. */
async function readBlock(file: FileHandle, start: number): Promise<Buffer> {
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  let filled = 0;
  while (filled < block.length) {
    const { bytesRead } = await file.read(block, filled, block.length - filled, start + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return block.subarray(0, filled);
}

/** Its place is part of the name, since a blob's list names each block once. All names are of one length, as Azure asks. */
function blockName(block: Uint8Array, index: number): string {
  const place = Buffer.alloc(4);
  place.writeUInt32BE(index);
  return Buffer.concat([createHash('sha256').update(block).digest(), place]).toString('base64');
}

/** Sends the blocks that are not there yet. @throws FedradError where the file has changed since it was read */
export async function stageBlocks(blob: BlockBlobClient, path: string, { blocks }: FileBlocks): Promise<void> {
  const staged = await stagedBlocks(blob);
  const missing = blocks.map((name, index) => ({ name, index })).filter(({ name }) => !staged.has(name));
  if (missing.length === 0) return;
  await using file = await open(path, 'r');
  await concurrently(missing, BLOCKS_AT_ONCE, async ({ name, index }) => {
    const block = await readBlock(file, index * BLOCK_BYTES);
    if (blockName(block, index) !== name) {
      fail(path, 'it changes while it is published', 'publish it when it is finished');
    }
    await blob.stageBlock(name, block, block.length, within(transferTimeoutMs(block.length)));
  });
}

async function stagedBlocks(blob: BlockBlobClient): Promise<ReadonlySet<string>> {
  try {
    const { uncommittedBlocks = [] } = await blob.getBlockList('uncommitted', within());
    return new Set(uncommittedBlocks.map(({ name }) => name));
  } catch (error) {
    if (statusOf(error) === 404) return new Set();
    throw error;
  }
}

/** How long so many bytes may take: a minute, and as long as a line of 50 kB/s needs. */
export const transferTimeoutMs = (bytes: number): number => 60_000 + Math.ceil(bytes / 50);
