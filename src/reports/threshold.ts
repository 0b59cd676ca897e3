/**
 * @file The operating threshold: given, or chosen on the hospitals' pooled validation histograms, so that no score leaves a hospital
 * for it. A chosen threshold is an edge between two bins, where counts at and above it are known exactly.
 */
import { z } from 'zod';
import { addConfusion, type Confusion, type SplitEvaluation } from './figures.ts';
import { edgeOf, HISTOGRAM_BINS } from './histogram.ts';
import { poolEvaluations } from './pool.ts';

/** A probability; `youden`: the largest sensitivity + specificity - 1; `sensitivity:0.95`: the largest specificity with at least that sensitivity. */
export type ThresholdRule = number | 'youden' | `sensitivity:${number}`;

/** The share that `sensitivity:<share>` asks for; 0 for youden, NaN for anything else. */
function leastSensitivity(rule: unknown): number {
  if (rule === 'youden') return 0;
  const share = typeof rule === 'string' ? Number(/^sensitivity:(\d*\.?\d+)$/.exec(rule)?.[1]) : Number.NaN;
  return share > 0 && share <= 1 ? share : Number.NaN;
}

export const thresholdRuleSchema = z.custom<ThresholdRule>(
  (rule) => (typeof rule === 'number' ? rule >= 0 && rule <= 1 : !Number.isNaN(leastSensitivity(rule))),
  {
    error: 'expected a number from 0 to 1, youden, or sensitivity:<share>',
    params: { remedy: 'for example 0.5, or sensitivity:0.95' },
  },
);

/** What is used where a rule has nothing to choose by. */
export const DEFAULT_THRESHOLD = 0.5;

export interface OperatingPoint {
  readonly threshold: number;
  /** The histogram bin that the threshold is the lower edge of; undefined where the threshold was given. */
  readonly bin?: number;
  /** How the threshold came about, for people. */
  readonly by: string;
}

/**
 * The threshold that a rule gives on these validation sets. Youden's index: Cancer 3:32-35, 1950. Of equally good edges the more
 * sensitive one counts, then the one nearest to 0.5.
 */
export function chooseThreshold(val: readonly SplitEvaluation[], rule: ThresholdRule): OperatingPoint {
  if (typeof rule === 'number') return { threshold: rule, by: 'fixed beforehand' };
  const total = sum(val.map((split) => confusionAt(split, 0)));
  if (total.tp === 0 || total.fp === 0)
    return { threshold: DEFAULT_THRESHOLD, by: `not by ${rule}: the validation images are all of one class` };
  const least = leastSensitivity(rule);
  const candidates = Array.from({ length: HISTOGRAM_BINS }, (_, bin) => {
    const { tp, tn } = sum(val.map((split) => confusionAt(split, bin)));
    const [sensitivity, specificity] = [tp / total.tp, tn / total.fp];
    const score = rule === 'youden' ? tp * total.fp + tn * total.tp : tn;
    return { bin, sensitivity, specificity, score, distance: Math.abs(bin - HISTOGRAM_BINS / 2) };
  }).filter(({ sensitivity }) => sensitivity >= least);
  const { bin } = candidates.reduce((a, b) => {
    const better = b.score - a.score || b.sensitivity - a.sensitivity || a.distance - b.distance;
    return better > 0 ? b : a;
  });
  const what = rule === 'youden' ? "Youden's J" : `sensitivity of at least ${least}`;
  return { threshold: edgeOf(bin), bin, by: `${what} on the validation images, pooled over the hospitals` };
}

/**
 * A hospital's evaluation as it is at another threshold, from its counts. Intervals are those of pooling a single hospital:
 * images resampled, stretched by the design effects at the threshold at which the hospital evaluated.
 */
export function atOperatingPoint(split: SplitEvaluation, point: OperatingPoint, seed: number): SplitEvaluation {
  const { threshold, bin } = point;
  if (bin === undefined) return split;
  const moved = { ...split, threshold, confusion: confusionAt(split, bin) };
  const figures = poolEvaluations([moved], { seed });
  const { accuracy, accuracy_ci95, sensitivity, sensitivity_ci95, specificity, specificity_ci95, ppv, npv } = figures;
  const { notMeasured } = figures;
  const shares = { accuracy, accuracy_ci95, sensitivity, sensitivity_ci95, specificity, specificity_ci95, ppv, npv };
  return { ...moved, ...shares, notMeasured };
}

/** Images at and above the lower edge of a bin are called positive. */
function confusionAt({ histogram: { negatives, positives } }: SplitEvaluation, bin: number): Confusion {
  const count = (bins: readonly number[]): number => bins.reduce((all, images) => all + images, 0);
  const [fn, tn] = [count(positives.slice(0, bin)), count(negatives.slice(0, bin))];
  return { tp: count(positives) - fn, fp: count(negatives) - tn, tn, fn };
}

const sum = (parts: readonly Confusion[]): Confusion => parts.reduce(addConfusion, { tp: 0, fp: 0, tn: 0, fn: 0 });
