/** @file What may be told of a hospital's data: counts by split and class, what was left out and why, and a hash. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson, fail, sha256 } from '../base/index.ts';
import { type PreparedSummary, SPLITS } from '../radiographs/index.ts';
import { readJson } from './read-json.ts';

const count = z.int().nonnegative();
const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

const shareSchema = z.strictObject({
  /** Of the names of all images that were dealt, the same at every hospital that deals from the same source. */
  collectionSha256: sha256Schema,
  partition: z.record(z.string(), z.json()),
  seed: z.int(),
  siloIndex: count,
  siloCount: count,
});

export type Share = z.infer<typeof shareSchema>;

/**
 * Throws where two hospitals hold shares of the same images that were not dealt together: a patient could be in both, or in train
 * here and in test there.
 */
export function checkShares(shares: readonly { readonly silo: string; readonly share: Share }[]): void {
  for (const [index, { silo, share }] of shares.entries()) {
    const { siloIndex, ...dealt } = share;
    for (const other of shares.slice(0, index)) {
      const { siloIndex: otherIndex, ...otherDealt } = other.share;
      if (share.collectionSha256 !== other.share.collectionSha256) continue;
      if (siloIndex !== otherIndex && canonicalJson(dealt) === canonicalJson(otherDealt)) continue;
      fail(
        `data of ${other.silo} and ${silo}`,
        'both hold shares of the same images, but not of one deal: patients may be in both',
        'upload the data of all silos again, with one config',
      );
    }
  }
}

export const dataFactsSchema = z.strictObject({
  /** Phantoms, not patients. */
  synthetic: z.boolean(),
  /** Images by class, and patients. A patient with images of both classes counts in both. */
  splits: z.array(z.strictObject({ split: z.string(), normal: count, pneumonia: count, patients: count })),
  /** What became of the images that this hospital was given. */
  intake: z.strictObject({
    offered: count,
    used: count,
    setAside: z.array(z.strictObject({ reason: z.string().max(100), images: count })),
  }),
  /** Which share of which images this hospital was given. */
  share: shareSchema,
  /** SHA-256 of the manifest, which lists the images by hash and stays in the hospital. */
  manifestSha256: sha256Schema,
});

export type DataFacts = z.infer<typeof dataFactsSchema>;

/** The part of an import's summary that is read here. */
const importSummarySchema = shareSchema
  .extend({ given: count, used: count, leftOut: z.record(z.string(), count) })
  .strip();

const FILE = 'data-facts.json';

const readSummary = (data: string) =>
  readJson(join(data, 'summary.json'), importSummarySchema, 'upload the data again');

/** The share that an imported folder holds. */
export async function readShare(data: string): Promise<Share> {
  const { given: _given, used: _used, leftOut: _leftOut, ...share } = await readSummary(data);
  return share;
}

/** Gathers the facts of an imported folder into a prepared one. */
export async function writeDataFacts(data: string, prepared: PreparedSummary, folder: string): Promise<void> {
  const manifest = await readFile(join(data, 'manifest.json'));
  const { given, used, leftOut, ...share } = await readSummary(data);
  const facts: DataFacts = {
    synthetic: prepared.synthetic,
    splits: SPLITS.map((split) => {
      const { NORMAL, PNEUMONIA } = prepared.splits[split];
      return {
        split,
        normal: NORMAL.images,
        pneumonia: PNEUMONIA.images,
        patients: NORMAL.patients + PNEUMONIA.patients,
      };
    }),
    intake: {
      offered: given,
      used,
      setAside: Object.entries(leftOut).map(([reason, images]) => ({ reason, images })),
    },
    share,
    manifestSha256: sha256(manifest),
  };
  await writeFile(join(folder, FILE), `${JSON.stringify(facts)}\n`);
}

/** Reads the facts of a prepared folder. */
export const readDataFacts = (folder: string): Promise<DataFacts> =>
  readJson(join(folder, FILE), dataFactsSchema, 'prepare this folder again');
