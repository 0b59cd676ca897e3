/** @file What may be told of a hospital's data: counts by split and class, what was left out and why, and a hash. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fail, sha256 } from '../base/index.ts';
import { type PreparedSummary, SPLITS } from '../radiographs/index.ts';

const count = z.int().nonnegative();

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
  /** SHA-256 of the manifest, which lists the images by hash and stays in the hospital. */
  manifestSha256: z.string().regex(/^[0-9a-f]{64}$/),
});

export type DataFacts = z.infer<typeof dataFactsSchema>;

/** The part of an import's summary that is read here. */
const importSummarySchema = z.object({ given: count, used: count, leftOut: z.record(z.string(), count) });

const FILE = 'data-facts.json';

/** Gathers the facts of an imported folder into a prepared one. */
export async function writeDataFacts(data: string, prepared: PreparedSummary, folder: string): Promise<void> {
  const manifest = await readFile(join(data, 'manifest.json'));
  const summary = importSummarySchema.parse(JSON.parse(await readFile(join(data, 'summary.json'), 'utf8')));
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
      offered: summary.given,
      used: summary.used,
      setAside: Object.entries(summary.leftOut).map(([reason, images]) => ({ reason, images })),
    },
    manifestSha256: sha256(manifest),
  };
  await writeFile(join(folder, FILE), `${JSON.stringify(facts)}\n`);
}

/** Reads the facts of a prepared folder. */
export async function readDataFacts(folder: string): Promise<DataFacts> {
  const facts = dataFactsSchema.safeParse(JSON.parse(await readFile(join(folder, FILE), 'utf8')));
  return facts.success
    ? facts.data
    : fail(join(folder, FILE), z.prettifyError(facts.error), 'prepare this folder again');
}
