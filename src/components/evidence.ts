/** @file What is known of the models of a run: each hospital's own evaluation, pooled over the hospitals. Counts only. */
import { z } from 'zod';
import { augmentationSchema, classWeightsSchema, optimiserSchema, scheduleSchema } from '../engine/index.ts';
import {
  poolEvaluations,
  pooledEvaluationSchema,
  splitEvaluationSchema,
  thresholdRuleSchema,
} from '../reports/index.ts';
import { dataFactsSchema } from './data-facts.ts';

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

/** One model on one hospital's images; written by that hospital's own step. */
export const siloEvaluationSchema = z.strictObject({
  silo: z.string().max(100),
  model: z.string().max(100),
  data: dataFactsSchema,
  val: splitEvaluationSchema,
  test: splitEvaluationSchema,
});

const modelEvidenceSchema = z.strictObject({
  /** `iteration_2`, `silo0_alone`, `pooled`. */
  model: z.string(),
  sha256: sha256Schema.optional(),
  val: pooledEvaluationSchema,
  test: pooledEvaluationSchema,
  silos: z.array(siloEvaluationSchema),
});

/** How the models were trained, in the words of the config. */
export const trainingWordsSchema = z.strictObject({
  recipe: z.string(),
  /** A network's name; `custom` where the config lists layers. */
  network: z.string(),
  optimizer: optimiserSchema,
  lr_schedule: scheduleSchema,
  class_weights: classWeightsSchema,
  augmentation: augmentationSchema.optional(),
  equalise: z.number().optional(),
  threshold: thresholdRuleSchema,
});

export const evidenceSchema = z.strictObject({
  version: z.literal(1),
  /** The aggregated model after each iteration. */
  iterations: z.array(modelEvidenceSchema),
  /** Name of the best iteration by the pooled validation AUROC, and how it was chosen. */
  best: z.string(),
  bestBy: z.string(),
  last: z.string(),
  /** How the threshold of the best model came about; each model has its own, by the same rule, in its figures. */
  thresholdBy: z.string().optional(),
  /** Of the delivered files, which also name their threshold. */
  files: z.strictObject({ best: sha256Schema, last: sha256Schema }).optional(),
  /** The iteration after which early stopping ended the training, before the last planned one; `iterations` goes as far. */
  stoppedAfter: z.int().positive().optional(),
  training: trainingWordsSchema.optional(),
  /** The models trained for comparison. */
  comparisons: z.array(modelEvidenceSchema),
});

export type SiloEvaluation = z.infer<typeof siloEvaluationSchema>;
export type ModelEvidence = z.infer<typeof modelEvidenceSchema>;
export type Evidence = z.infer<typeof evidenceSchema>;

interface Judged {
  readonly auroc: number | null;
  readonly logLoss: number | null;
}

/** Higher AUROC, where both have one; lower loss on a tie. */
export function isBetter(a: Judged, b: Judged): boolean {
  if (a.auroc !== null && b.auroc !== null && a.auroc !== b.auroc) return a.auroc > b.auroc;
  const loss = ({ logLoss }: Judged): number => logLoss ?? Number.POSITIVE_INFINITY;
  return loss(a) < loss(b);
}

/**
 * The best iteration: highest validation AUROC, lower validation loss on a tie, earlier iteration on a further tie. Pooled over the
 * hospitals that evaluated every iteration, so that all are judged on the same images. Without an AUROC (no validation
 * image of one class) the loss alone decides.
 */
export function bestIteration(iterations: readonly ModelEvidence[], seed: number): { model: string; by: string } {
  const everywhere = (silo: string): boolean =>
    iterations.every(({ silos }) => silos.some((each) => each.silo === silo));
  const judged = iterations.map(({ model, silos }) => {
    const common = silos.filter(({ silo }) => everywhere(silo)).map(({ val }) => val);
    // No interval is used here.
    return { model, val: poolEvaluations(common, { seed, replicates: 1 }) };
  });
  const byAuroc = judged.every(({ val }) => val.auroc !== null);
  const figures = ({ val }: (typeof judged)[number]) => (byAuroc ? val : { ...val, auroc: null });
  const best = judged.reduce((a, b) => (isBetter(figures(b), figures(a)) ? b : a));
  const by = byAuroc
    ? 'validation AUROC, pooled over the hospitals'
    : 'validation loss: the validation images are all of one class';
  return { model: best.model, by };
}
