/** @file From scores to figures: what a hospital does with its own test images, and `fedrad model evaluate` with a folder. */
import { fail, openRng } from '../base/index.ts';
import {
  bootstrap,
  imageStrata,
  patientStrata,
  type Replicates,
  type ScoredSample,
  type Stratum,
  variance,
} from './bootstrap.ts';
import { calibrationBins, expectedCalibrationError } from './calibration.ts';
import {
  type DesignEffect,
  type Evaluation,
  type Figures,
  INTERVAL_METRICS,
  type IntervalMetric,
  type SplitEvaluation,
} from './figures.ts';
import { binOf, HISTOGRAM_BINS } from './histogram.ts';
import { figuresOf } from './measure.ts';
import { aurocOfCounts, countScores, denseRanks, rocOfCounts } from './ranks.ts';

export interface EvaluationInput {
  /** P(PNEUMONIA) of each image, [n]. */
  readonly probabilities: Float32Array | Float64Array;
  /** 1 for PNEUMONIA, 0 for NORMAL, [n]. */
  readonly labels: Uint8Array;
  /** The patient of each image, any numbers, [n]. Without it each image counts as a patient of its own. */
  readonly patients?: Int32Array;
  /** An image is called positive where its probability is at least this; 0.5 unless given. */
  readonly threshold?: number;
  readonly seed: number;
  /** Bootstrap replicates; 1000 unless given. */
  readonly replicates?: number;
}

const ONE: DesignEffect = { auroc: 1, accuracy: 1, sensitivity: 1, specificity: 1 };
/** Probabilities are clipped to [this, 1 - this] for the log loss: float32 rounds a sure softmax to 0 or 1. */
const LOG_LOSS_CLIP = 1e-7;

/**
 * Evaluates a classifier on one set of images, exactly.
 *
 * AUROC is the Mann-Whitney statistic with midranks. Intervals are 95 % percentiles of a bootstrap that resamples
 * patients, stratified by class (Rutter, Academic Radiology 7:413-419, 2000); where all replicates agree, as for a
 * perfect score, score intervals stand in (Wilson 1927, Newcombe 2006). With under about ten patients in a class any
 * bootstrap is too narrow. A set without one of the classes gives null for what needs it, with the reason in
 * `notMeasured`. Same input, same bits.
 *
 * The ROC curve and bins are of exact scores: they stay where the images are. See `summariseScores` for what may leave.
 * @throws FedradError where a probability is no number in [0, 1]; RangeError where lengths or labels are wrong.
 */
export function evaluateScores(input: EvaluationInput): Evaluation {
  const { sample, figures } = assess(input);
  const calibration = calibrationBins(
    Array.from(input.probabilities, (probability, i) => ({ probability, n: 1, positives: input.labels[i]! })),
  );
  return {
    ...figures,
    roc: rocOfCounts(countScores(sample.group, sample.groups, sample.labels)),
    calibration,
    ece: expectedCalibrationError(calibration),
  };
}

/**
 * Sums a hospital's scores up to what may leave it: figures, their intervals and design effects, and a histogram.
 *
 * What it discloses: for each label, how many images scored in each of 512 intervals. No score is tied to an image,
 * a patient or an order. With fewer images than bins most counts are 0 or 1, so that the histogram then is a list of
 * the scores rounded to 1/16 in the logit; a set of a single patient tells that patient's label and score. A site
 * policy should therefore ask for a least number of patients per class before this leaves.
 */
export function summariseScores(input: EvaluationInput): SplitEvaluation {
  const { sample, figures, replicates } = assess(input);
  const { labels, probabilities } = input;
  const { negatives, positives } = countScores(Array.from(probabilities, binOf), HISTOGRAM_BINS, labels);
  return {
    ...figures,
    histogram: { negatives: [...negatives], positives: [...positives] },
    designEffect: designEffectOf(sample, figures, replicates, input.seed),
  };
}

/** Variance over resampled patients by variance over resampled images. */
function designEffectOf(
  sample: ScoredSample,
  { n, patients }: Figures,
  clustered: Replicates,
  seed: number,
): DesignEffect {
  if (patients === n) return ONE;
  const images = bootstrap(
    sample,
    imageStrata(sample.labels),
    clustered.auroc.length,
    openRng(seed, 'reports', 'images'),
  );
  const effect = (metric: IntervalMetric): number => {
    const ratio = variance(clustered[metric]) / variance(images[metric]);
    // Nothing varies: take a patient's images as wholly alike, which is the most that they can be.
    return ratio > 0 && Number.isFinite(ratio) ? ratio : n / patients;
  };
  return Object.fromEntries(INTERVAL_METRICS.map((metric) => [metric, effect(metric)])) as DesignEffect;
}

function assess(input: EvaluationInput) {
  const { probabilities, labels, threshold = 0.5, seed, replicates: count = 1000 } = input;
  check(input, count);
  const predicted = Uint8Array.from(probabilities, (probability) => (probability >= threshold ? 1 : 0));
  const sample: ScoredSample = { ...denseRanks(probabilities), labels, predicted };
  const strata = patientStrata(labels, input.patients ?? [...labels.keys()]);
  const replicates = bootstrap(sample, strata, count, openRng(seed, 'reports', 'patients'));
  const [negativeOnly, positiveOnly, both] = strata.map((units: Stratum) => units.length) as [number, number, number];
  const confusion = { tp: 0, fp: 0, tn: 0, fn: 0 };
  let [squares, losses] = [0, 0];
  for (let i = 0; i < labels.length; i++) {
    const [p, label] = [probabilities[i]!, labels[i]!];
    confusion[label === 1 ? (predicted[i] ? 'tp' : 'fn') : predicted[i] ? 'fp' : 'tn'] += 1;
    squares += (p - label) ** 2;
    const likelihood = label === 1 ? p : 1 - p;
    losses -= Math.log(Math.min(1 - LOG_LOSS_CLIP, Math.max(LOG_LOSS_CLIP, likelihood)));
  }
  const n = labels.length;
  const figures: Figures = figuresOf({
    confusion,
    auroc: aurocOfCounts(countScores(sample.group, sample.groups, labels)),
    patients: negativeOnly + positiveOnly + both,
    threshold,
    brier: n === 0 ? null : squares / n,
    logLoss: n === 0 ? null : losses / n,
    replicates,
    units: { negatives: negativeOnly + both, positives: positiveOnly + both },
    designEffect: ONE,
  });
  return { sample, figures, replicates };
}

function check({ probabilities, labels, patients, threshold = 0.5 }: EvaluationInput, replicates: number): void {
  const n = labels.length;
  if (probabilities.length !== n || (patients && patients.length !== n)) {
    throw new RangeError(
      `evaluateScores: expected as many probabilities and patients as labels, got ${probabilities.length}, ${patients?.length ?? n} and ${n}`,
    );
  }
  if (!(threshold >= 0 && threshold <= 1))
    throw new RangeError(`evaluateScores: threshold ${threshold} is not in [0, 1]`);
  if (!(Number.isInteger(replicates) && replicates >= 2)) {
    throw new RangeError(`evaluateScores: expected at least 2 bootstrap replicates, got ${replicates}`);
  }
  const label = labels.find((value) => value > 1);
  if (label !== undefined) throw new RangeError(`evaluateScores: expected labels 0 or 1, got ${label}`);
  const bad = probabilities.findIndex((p: number) => !(p >= 0 && p <= 1));
  if (bad >= 0) {
    fail(
      'evaluation',
      `the probability of image ${bad} is ${probabilities[bad]}, expected a number in [0, 1]`,
      'the model has diverged: lower the learning rate and train again',
    );
  }
}
