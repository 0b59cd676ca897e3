/**
 * @file What a model card is made of (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019): counts, figures, settings and
 * hashes. It travels with the model, so nothing in it is of a single patient or image, and no path.
 */
import { z } from 'zod';
import { figuresSchema } from './figures.ts';

const count = z.int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 as 64 lower-case hexadecimal digits');
/** Goes into tables and headings as it is. */
const word = z.string().regex(/^[\w -]{1,100}$/, 'expected letters, digits, spaces, "_" and "-"');

export const modelCardSchema = z.strictObject({
  version: z.literal(1),
  model: z.strictObject({
    sha256,
    chosen: z.enum(['best', 'last']),
    iteration: z.int().positive(),
    /** What the best one was chosen by. */
    bestBy: z.string().max(200),
    /** How its threshold came about. */
    thresholdBy: z.string().max(200),
    stoppedEarly: z.boolean(),
  }),
  /** Phantoms, not patients. */
  synthetic: z.boolean(),
  network: z.strictObject({
    imageSize: z.int().positive(),
    normalisation: z.strictObject({ mean: z.number(), std: z.number(), equalise: z.number().optional() }),
    labels: z.array(word),
    /** Numbers in it that training changes. */
    parameters: count,
    /** How many of each kind, in the order of their first. */
    layers: z.array(z.strictObject({ op: word, count })),
  }),
  /** The config's training_parameters, defaults filled in. */
  training: z.record(z.string(), z.json()),
  hospitals: z.array(
    z.strictObject({
      name: word,
      splits: z.array(z.strictObject({ split: word, normal: count, pneumonia: count, patients: count })),
      /** Images that were given to it, and how many of them were used. */
      offered: count,
      used: count,
      /** False: images were dealt by file, so one patient's may lie on both sides of a split. */
      patientDisjoint: z.boolean(),
      /** SHA-256 of the list of its images, which stays there. */
      manifestSha256: sha256,
      test: figuresSchema,
    }),
  ),
  /** On the test images of all hospitals. */
  test: figuresSchema,
  /** Added where the model is taken out of its run. */
  run: z.strictObject({ id: word, graphSha256: sha256, fedrad: z.string().max(50) }).optional(),
});
export type ModelCard = z.infer<typeof modelCardSchema>;
