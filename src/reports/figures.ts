/**
 * @file What is measured of a classifier on one set of images: the schema that a step writes, an orchestrator reads and
 * the report prints. Positive means PNEUMONIA. A figure that cannot be measured is null, and `notMeasured` says why;
 * it is never NaN and never a silent 0.
 */
import { z } from 'zod';

const count = z.number().int().nonnegative();
const fraction = z.number().min(0).max(1);

/** A 95 % confidence interval: [low, high]. */
export const intervalSchema = z.tuple([fraction, fraction]);
export type Interval = z.infer<typeof intervalSchema>;

/** Images by what they are (true or false prediction) and what was predicted (positive or negative). */
export const confusionSchema = z.object({ tp: count, fp: count, tn: count, fn: count });
export type Confusion = z.infer<typeof confusionSchema>;

export const addConfusion = (a: Confusion, b: Confusion): Confusion => ({
  tp: a.tp + b.tp,
  fp: a.fp + b.fp,
  tn: a.tn + b.tn,
  fn: a.fn + b.fn,
});

/** The figures of one set of images. Intervals are 95 %, from the bootstrap (see `bootstrap.ts`). */
export const figuresSchema = z.object({
  /** Images. */
  n: count,
  /** Images labelled PNEUMONIA. */
  positives: count,
  /** Patients of these images; one per image where patients are not known. */
  patients: count,
  /** An image is called positive where P(PNEUMONIA) >= threshold. */
  threshold: fraction,
  confusion: confusionSchema,
  /** Area under the ROC curve: the Mann-Whitney statistic with midranks, so a tie counts one half. */
  auroc: fraction.nullable(),
  auroc_ci95: intervalSchema.nullable(),
  accuracy: fraction.nullable(),
  accuracy_ci95: intervalSchema.nullable(),
  /** True positive rate: tp / (tp + fn). */
  sensitivity: fraction.nullable(),
  sensitivity_ci95: intervalSchema.nullable(),
  /** True negative rate: tn / (tn + fp). */
  specificity: fraction.nullable(),
  specificity_ci95: intervalSchema.nullable(),
  /** Positive predictive value at the prevalence of this set: tp / (tp + fp). */
  ppv: fraction.nullable(),
  /** Negative predictive value at the prevalence of this set: tn / (tn + fn). */
  npv: fraction.nullable(),
  /** Mean of (P(PNEUMONIA) - label)^2: 0 is best, 0.25 is a coin. */
  brier: fraction.nullable(),
  /** Mean cross-entropy in nats, with probabilities clipped to [1e-7, 1 - 1e-7]. */
  logLoss: z.number().nonnegative().nullable(),
  /** Why a figure above is null, by its name. */
  notMeasured: z.record(z.string(), z.string()),
});
export type Figures = z.infer<typeof figuresSchema>;

/** The figures that have an interval. */
export const INTERVAL_METRICS = ['auroc', 'accuracy', 'sensitivity', 'specificity'] as const;
export type IntervalMetric = (typeof INTERVAL_METRICS)[number];

/** One bin of a calibration curve: what was predicted on average, and how often it was true. */
export const calibrationBinSchema = z.object({
  n: count,
  positives: count,
  meanProbability: fraction,
});
export type CalibrationBin = z.infer<typeof calibrationBinSchema>;

/** Figures with their curves. */
export const evaluationSchema = figuresSchema.extend({
  /** Corners of the ROC curve as [false positive rate, true positive rate], from (0, 0) to (1, 1); empty without both classes. */
  roc: z.array(z.tuple([fraction, fraction])),
  /** Bins of equal width over [0, 1], empty bins left out. */
  calibration: z.array(calibrationBinSchema),
  /** Expected calibration error: mean |meanProbability - positives / n| over the bins, weighted by n. */
  ece: fraction.nullable(),
});
export type Evaluation = z.infer<typeof evaluationSchema>;

/** Variance of a figure when patients are resampled, over its variance when images are (Kish's design effect). */
export const designEffectSchema = z.record(z.enum(INTERVAL_METRICS), z.number().positive());
export type DesignEffect = z.infer<typeof designEffectSchema>;

/**
 * What may leave a hospital: counts, means over the whole set and this hospital's own intervals. No score or order
 * of a single image is named, and no patient. See `summariseScores` for what it does disclose.
 */
export const splitEvaluationSchema = figuresSchema.extend({
  /** Images; bounded, because pooling lays out one entry per image and the counts come from elsewhere. */
  n: count.max(1_000_000),
  /** Images per bin of logit P(PNEUMONIA), by label, lowest score first; bins as in `histogram.ts`. */
  histogram: z.object({ negatives: z.array(count), positives: z.array(count) }),
  designEffect: designEffectSchema,
});
export type SplitEvaluation = z.infer<typeof splitEvaluationSchema>;

/** Several hospitals' sets as one. */
export const pooledEvaluationSchema = evaluationSchema.extend({
  /** Hospitals pooled. */
  silos: count,
  /**
   * AUROC over pairs of one hospital only, weighted by its number of pairs. Where it is clearly below `auroc`, the
   * model partly tells hospitals apart rather than patients (Zech et al., PLoS Medicine 15(11):e1002683, 2018).
   */
  aurocWithinSilos: fraction.nullable(),
  /** By how much the variances were widened: the hospitals' design effects weighted by images, at least 1. */
  designEffect: designEffectSchema,
});
export type PooledEvaluation = z.infer<typeof pooledEvaluationSchema>;
