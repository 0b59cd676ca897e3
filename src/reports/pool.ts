/** @file Several hospitals' evaluations as one, from their counts alone. */
import { fail, openRng } from '../base/index.ts';
import { bootstrap, type ScoredSample, type Stratum } from './bootstrap.ts';
import { calibrationBins, expectedCalibrationError } from './calibration.ts';
import {
  addConfusion,
  type DesignEffect,
  INTERVAL_METRICS,
  type PooledEvaluation,
  type SplitEvaluation,
} from './figures.ts';
import { HISTOGRAM_BINS, probabilityOf } from './histogram.ts';
import { figuresOf } from './measure.ts';
import { aurocOfCounts, rocOfCounts } from './ranks.ts';

/**
 * Pools hospitals' evaluations of one model.
 *
 * Exact: confusion and all figures at the threshold, Brier score, log loss. From the histograms, so to within a bin:
 * AUROC (ties inside a bin count one half), ROC and calibration curve. Intervals are 95 % percentiles of a bootstrap that
 * resamples images within each hospital and class. By itself that takes images as independent, since counts do not know
 * patients; so each interval is stretched around its estimate by the square root of the hospitals' mean design effect
 * (weighted by images, a hospital's counted as at least 1).
 *
 * @param perSilo one evaluation per hospital, all at the same threshold; the order of hospitals keys the draws.
 * @param options.replicates bootstrap replicates, 1000 unless given.
 */
export function poolEvaluations(
  perSilo: readonly SplitEvaluation[],
  { seed, replicates = 1000 }: { seed: number; replicates?: number },
): PooledEvaluation {
  const threshold = perSilo[0]?.threshold ?? 0.5;
  perSilo.forEach((silo, index) => {
    check(silo, threshold, `evaluation of hospital ${index + 1} of ${perSilo.length}`);
  });
  const confusion = perSilo.map((silo) => silo.confusion).reduce(addConfusion, { tp: 0, fp: 0, tn: 0, fn: 0 });
  const counts = {
    negatives: sumBins(perSilo.map(({ histogram }) => histogram.negatives)),
    positives: sumBins(perSilo.map(({ histogram }) => histogram.positives)),
  };
  const { sample, strata } = imagesOf(perSilo);
  const n = sample.labels.length;
  const mean = (of: (silo: SplitEvaluation) => number | null): number | null =>
    n === 0 ? null : perSilo.reduce((sum, silo) => sum + silo.n * (of(silo) ?? 0), 0) / n;
  const designEffect = Object.fromEntries(
    INTERVAL_METRICS.map((metric) => [metric, mean((silo) => Math.max(1, silo.designEffect[metric])) ?? 1]),
  ) as DesignEffect;
  const calibration = calibrationBins(
    Array.from(counts.positives, (positives, bin) => ({
      probability: probabilityOf(bin),
      n: positives + counts.negatives[bin]!,
      positives,
    })).filter((bin) => bin.n > 0),
  );
  const figures = figuresOf({
    confusion,
    auroc: aurocOfCounts(counts),
    patients: perSilo.reduce((sum, silo) => sum + silo.patients, 0),
    threshold,
    brier: mean(({ brier }) => brier),
    logLoss: mean(({ logLoss }) => logLoss),
    replicates: bootstrap(sample, strata, replicates, openRng(seed, 'reports', 'pooled')),
    units: { negatives: confusion.tn + confusion.fp, positives: confusion.tp + confusion.fn },
    designEffect,
  });
  return {
    ...figures,
    roc: rocOfCounts(counts),
    calibration,
    ece: expectedCalibrationError(calibration),
    silos: perSilo.length,
    aurocWithinSilos: aurocWithin(perSilo),
    designEffect,
  };
}

/**
 * Images again from counts: per hospital and class one per count of a bin, the highest-scored called positive, as many
 * as were. That is what the hospital had, up to the order within a bin and who the patients are.
 */
function imagesOf(perSilo: readonly SplitEvaluation[]): { sample: ScoredSample; strata: Stratum[] } {
  const [group, labels, predicted]: [number[], number[], number[]] = [[], [], []];
  const strata: Stratum[] = [];
  const add = (bins: readonly number[], label: 0 | 1, called: number): void => {
    const total = bins.reduce((sum, count) => sum + count, 0);
    const units: number[][] = [];
    for (const [bin, count] of bins.entries()) {
      for (let image = 0; image < count; image++) {
        predicted.push(units.length >= total - called ? 1 : 0);
        units.push([group.length]);
        group.push(bin);
        labels.push(label);
      }
    }
    strata.push(units);
  };
  for (const { histogram, confusion } of perSilo) {
    add(histogram.negatives, 0, confusion.fp);
    add(histogram.positives, 1, confusion.tp);
  }
  const sample = {
    groups: HISTOGRAM_BINS,
    group: Int32Array.from(group),
    labels: Uint8Array.from(labels),
    predicted: Uint8Array.from(predicted),
  };
  return { sample, strata };
}

/** AUROC over pairs within a hospital, weighted by the number of pairs; null where no hospital has both classes. */
function aurocWithin(perSilo: readonly SplitEvaluation[]): number | null {
  let [wins, pairs] = [0, 0];
  for (const { auroc, n, positives } of perSilo) {
    if (auroc === null) continue;
    wins += auroc * positives * (n - positives);
    pairs += positives * (n - positives);
  }
  return pairs === 0 ? null : wins / pairs;
}

const sumBins = (histograms: readonly (readonly number[])[]): number[] =>
  Array.from({ length: HISTOGRAM_BINS }, (_, bin) => histograms.reduce((sum, bins) => sum + bins[bin]!, 0));

/** A hospital's counts come over the wire: they must agree with each other before they are pooled. */
function check(
  { histogram, confusion, n, positives, threshold }: SplitEvaluation,
  expected: number,
  where: string,
): void {
  const remedy = 'this evaluation is damaged or of another version of fedrad; evaluate again at that hospital';
  if (threshold !== expected)
    fail(where, `expected threshold ${expected} as at the first hospital, got ${threshold}`, remedy);
  for (const [label, bins, images, called] of [
    ['negatives', histogram.negatives, n - positives, confusion.tn + confusion.fp],
    ['positives', histogram.positives, positives, confusion.tp + confusion.fn],
  ] as const) {
    const binned = bins.reduce((sum, count) => sum + count, 0);
    if (bins.length !== HISTOGRAM_BINS)
      fail(where, `expected ${HISTOGRAM_BINS} bins of ${label}, got ${bins.length}`, remedy);
    if (binned !== images || called !== images) {
      fail(
        where,
        `expected ${images} ${label} in the histogram and the confusion matrix, got ${binned} and ${called}`,
        remedy,
      );
    }
  }
}
