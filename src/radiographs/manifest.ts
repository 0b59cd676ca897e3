/**
 * @file What an import leaves beside the images: the manifest (which image is where, stays in the hospital) and the summary
 * (counts only, may leave).
 */
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fail, messageOf } from '../base/index.ts';
import type { UnusableReason } from './decode.ts';
import { CLASSES, type ClassName, SPLITS, type Split } from './layout.ts';
import type { Partition } from './partition.ts';

const manifestSchema = z.strictObject({
  version: z.literal(1),
  /** Phantoms, not patients. */
  synthetic: z.boolean(),
  /** Sorted by path. */
  files: z.array(
    z.strictObject({
      /** `<split>/<class>/<file>`. */
      path: z.string().regex(/^(train|val|test)\/(NORMAL|PNEUMONIA)\/[^/]+$/),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      split: z.enum(SPLITS),
      label: z.enum(CLASSES),
      /** Number of the patient, 0, 1, ...: local to this hospital. */
      patient: z.int().min(0),
    }),
  ),
});

/** The images of one hospital. */
export type Manifest = z.output<typeof manifestSchema>;
export type ManifestFile = Manifest['files'][number];

/** Why an image is not used. */
export type LeftOutReason = UnusableReason | 'cannot be read' | 'exact duplicate' | 'same image under both labels';

export interface ImageCounts {
  readonly images: number;
  readonly patients: number;
}

/** What was imported at one hospital: counts only, no name and no path. */
export interface ImportSummary {
  /** Phantoms, not patients. */
  readonly synthetic: boolean;
  readonly source: 'kaggle' | 'folder' | 'zip' | 'phantom';
  readonly partition: Partition;
  readonly seed: number;
  readonly siloIndex: number;
  readonly siloCount: number;
  /** SHA-256 of the classes and names of all images that were dealt: the same at every hospital with the same source. */
  readonly collectionSha256: string;
  /** Images that the partition gave this hospital. */
  readonly given: number;
  /** Images in its folder; `given` less all of `leftOut`. */
  readonly used: number;
  readonly leftOut: Readonly<Partial<Record<LeftOutReason, number>>>;
  /** Patients in all splits together. */
  readonly patients: number;
  readonly splits: Readonly<Record<Split, Readonly<Record<ClassName, ImageCounts>>>>;
}

/** Images and patients by split and class. */
export function countSplits(files: readonly ManifestFile[]): ImportSummary['splits'] {
  const count = (split: Split, label: ClassName): ImageCounts => {
    const own = files.filter((file) => file.split === split && file.label === label);
    return { images: own.length, patients: new Set(own.map(({ patient }) => patient)).size };
  };
  const byClass = (split: Split) => ({ NORMAL: count(split, 'NORMAL'), PNEUMONIA: count(split, 'PNEUMONIA') });
  return { train: byClass('train'), val: byClass('val'), test: byClass('test') };
}

/** Writes a JSON file in one step: readers see the whole file or none. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const partial = `${path}.partial`;
  {
    await using handle = await open(partial, 'w');
    await handle.writeFile(`${JSON.stringify(value, null, 2)}\n`);
  }
  await rename(partial, path);
}

/** Reads the manifest of a folder that `uploadData` filled. Throws one clear line where there is none. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, 'manifest.json');
  const remedy = 'run upload-data for this hospital first';
  const text = await readFile(path, 'utf8').catch((error: unknown) =>
    fail(folder, 'expected images imported by upload-data, found no manifest.json', remedy, error),
  );
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    return fail(path, `not a manifest of upload-data: ${messageOf(error)}`, remedy, error);
  }
}
