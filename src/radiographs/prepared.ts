/**
 * @file Images ready to train on: for each split a raw array `<split>.u8`, 8-bit grey `[N, H, W]`, and `<split>.json` with
 * its labels, patients and SHA-256. One read and no decoding per epoch.
 */

import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fail, messageOf } from '../base/index.ts';
import type { Split } from './layout.ts';

const headerSchema = z.strictObject({
  version: z.literal(1),
  /** Phantoms, not patients. */
  synthetic: z.boolean(),
  /** Height and width, pixels. */
  imageSize: z.int().min(1),
  /** 0 NORMAL, 1 PNEUMONIA. */
  labels: z.array(z.union([z.literal(0), z.literal(1)])),
  /** Number of each image's patient, local to this hospital. */
  patients: z.array(z.int().min(0)),
  /** SHA-256 of the array. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type PreparedHeader = z.output<typeof headerSchema>;

export interface PreparedImages {
  /** `[N, H, W]`, H = W = `imageSize`, 0 black to 255 white. */
  readonly images: Uint8Array;
  /** `[N]`, 0 NORMAL, 1 PNEUMONIA. */
  readonly labels: Uint8Array;
  /** `[N]`, number of the patient, local to this hospital. */
  readonly patients: Int32Array;
  readonly imageSize: number;
  /** Phantoms, not patients. */
  readonly synthetic: boolean;
  /** SHA-256 of `images`, checked. */
  readonly sha256: string;
}

/** Reads go in pieces: a single one is limited to 2 GiB, less than some hospitals have. */
const PIECE_BYTES = 2 ** 24;

/**
 * Reads one split of a folder that `prepare` made. Throws one clear line where it is missing, of another shape than it
 * says, or changed since.
 */
export async function readPrepared(folder: string, split: Split): Promise<PreparedImages> {
  const header = await readHeader(folder, split);
  const { imageSize, labels, patients, synthetic } = header;
  const path = join(folder, `${split}.u8`);
  const remedy = 'prepare this folder again';
  const expected = labels.length * imageSize ** 2;
  await using handle = await open(path).catch((error: unknown) => fail(path, 'cannot be read', remedy, error));
  const { size } = await handle.stat();
  if (size !== expected || patients.length !== labels.length) {
    fail(path, `expected ${labels.length} images of ${imageSize} x ${imageSize} bytes, got ${size} bytes`, remedy);
  }
  const images = new Uint8Array(expected);
  const hash = createHash('sha256');
  for (let at = 0; at < expected; ) {
    const { bytesRead } = await handle.read(images, at, Math.min(PIECE_BYTES, expected - at), at);
    if (bytesRead === 0) fail(path, `ended at byte ${at} of ${expected}`, remedy);
    hash.update(images.subarray(at, at + bytesRead));
    at += bytesRead;
  }
  if (hash.digest('hex') !== header.sha256) fail(path, 'its SHA-256 is not the one it was made with', remedy);
  return {
    images,
    labels: Uint8Array.from(labels),
    patients: Int32Array.from(patients),
    imageSize,
    synthetic,
    sha256: header.sha256,
  };
}

async function readHeader(folder: string, split: Split): Promise<PreparedHeader> {
  const path = join(folder, `${split}.json`);
  try {
    return headerSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    return fail(path, `expected a prepared split: ${messageOf(error)}`, 'prepare this folder again', error);
  }
}
