/** @file Point figures and their intervals from counts and bootstrap replicates: what one set and pooled sets share. */
import type { Replicates } from './bootstrap.ts';
import {
  type Confusion,
  type DesignEffect,
  type Figures,
  INTERVAL_METRICS,
  type Interval,
  type IntervalMetric,
} from './figures.ts';
import { aurocInterval, percentileInterval, proportionInterval, widen } from './intervals.ts';

export interface Measured {
  readonly confusion: Confusion;
  readonly auroc: number | null;
  readonly patients: number;
  readonly threshold: number;
  readonly brier: number | null;
  readonly logLoss: number | null;
  readonly replicates: Replicates;
  /** Independent units by class, for the score intervals: patients where they are known. */
  readonly units: { readonly negatives: number; readonly positives: number };
  /** By how much to widen the replicates' intervals; 1 where patients were resampled. */
  readonly designEffect: DesignEffect;
}

/** Figures with 95 % intervals; null, with the reason, where a class is missing. */
export function figuresOf(measured: Measured): Figures {
  const { confusion, patients, threshold, brier, logLoss, replicates, units } = measured;
  const { tp, fp, tn, fn } = confusion;
  const [positives, negatives] = [tp + fn, tn + fp];
  const values = {
    auroc: measured.auroc,
    accuracy: ratio(tp + tn, positives + negatives),
    sensitivity: ratio(tp, positives),
    specificity: ratio(tn, negatives),
  };
  const intervalOf = (metric: IntervalMetric): Interval | null => {
    const value = values[metric];
    if (value === null) return null;
    const effect = measured.designEffect[metric];
    const [low, high] = percentileInterval(replicates[metric]);
    if (low < high) return widen([low, high], value, effect);
    // All replicates agree: everything is right (or wrong), or there is one patient. That is not certainty.
    if (metric === 'auroc') return aurocInterval(value, units.positives / effect, units.negatives / effect);
    const trials = {
      accuracy: units.positives + units.negatives,
      sensitivity: units.positives,
      specificity: units.negatives,
    };
    return proportionInterval(value, trials[metric] / effect);
  };
  const [auroc_ci95, accuracy_ci95, sensitivity_ci95, specificity_ci95] = INTERVAL_METRICS.map(intervalOf) as [
    Interval | null,
    Interval | null,
    Interval | null,
    Interval | null,
  ];
  const figures = {
    n: positives + negatives,
    positives,
    patients,
    threshold,
    confusion,
    ...values,
    auroc_ci95,
    accuracy_ci95,
    sensitivity_ci95,
    specificity_ci95,
    ppv: ratio(tp, tp + fp),
    npv: ratio(tn, tn + fn),
    brier,
    logLoss,
  };
  return { ...figures, notMeasured: reasons(figures) };
}

const ratio = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);

/** Why each null of these figures is null. */
function reasons(figures: Omit<Figures, 'notMeasured'>): Record<string, string> {
  const { n, positives, confusion } = figures;
  const [noPositives, noNegatives] = ['no image is labelled PNEUMONIA', 'no image is labelled NORMAL'];
  const why = (name: string): string => {
    if (n === 0) return 'the set has no images';
    if (name === 'sensitivity') return noPositives;
    if (name === 'specificity') return noNegatives;
    if (name === 'auroc') return positives === 0 ? noPositives : noNegatives;
    return confusion.tp + confusion.fp === 0 ? 'no image was called PNEUMONIA' : 'no image was called NORMAL';
  };
  const missing = Object.entries(figures).filter(([name, value]) => value === null && !name.endsWith('_ci95'));
  return Object.fromEntries(missing.map(([name]) => [name, why(name)]));
}
