/** @file What is known of the models of a run: each hospital's own evaluation, pooled over the hospitals. Counts only. */
import { z } from 'zod';
import { pooledEvaluationSchema, splitEvaluationSchema } from '../reports/index.ts';
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

export const evidenceSchema = z.strictObject({
  version: z.literal(1),
  /** The aggregated model after each iteration. */
  iterations: z.array(modelEvidenceSchema),
  /** Name of the best iteration by the pooled validation AUROC, and how it was chosen. */
  best: z.string(),
  bestBy: z.string(),
  last: z.string(),
  /** The models trained for comparison. */
  comparisons: z.array(modelEvidenceSchema),
});

export type SiloEvaluation = z.infer<typeof siloEvaluationSchema>;
export type ModelEvidence = z.infer<typeof modelEvidenceSchema>;
export type Evidence = z.infer<typeof evidenceSchema>;

/**
 * The best iteration: highest pooled validation AUROC, lower validation loss on a tie, earlier iteration on a further tie.
 * Without an AUROC (no validation image of one class) the loss alone decides.
 */
export function bestIteration(iterations: readonly ModelEvidence[]): { model: string; by: string } {
  const byAuroc = iterations.every(({ val }) => val.auroc !== null);
  const score = ({ val }: ModelEvidence): number => (byAuroc ? val.auroc! : 0);
  const best = iterations.reduce((a, b) =>
    score(b) > score(a) || (score(b) === score(a) && (b.val.logLoss ?? 0) < (a.val.logLoss ?? 0)) ? b : a,
  );
  return {
    model: best.model,
    by: byAuroc
      ? 'validation AUROC, pooled over the hospitals'
      : 'validation loss: the validation images are all of one class',
  };
}
