/**
 * @file Does 0.8 mean 80 in 100? Bins of equal width over the predicted P(PNEUMONIA), and the expected calibration error
 * over them (Naeini et al., AAAI 2015; Guo et al., ICML 2017, here for the positive class).
 */
import type { CalibrationBin } from './figures.ts';

const BINS = 10;

/** Images that share one predicted probability (an image of its own, or a bin of a histogram). */
export interface Predicted {
  readonly probability: number;
  readonly n: number;
  readonly positives: number;
}

/** The calibration curve over ten bins [0, 0.1), ..., [0.9, 1]; empty bins are left out. */
export function calibrationBins(predictions: Iterable<Predicted>): CalibrationBin[] {
  const bins = Array.from({ length: BINS }, () => ({ n: 0, positives: 0, sum: 0 }));
  for (const { probability, n, positives } of predictions) {
    const bin = bins[Math.min(BINS - 1, Math.floor(probability * BINS))]!;
    bin.n += n;
    bin.positives += positives;
    bin.sum += n * probability;
  }
  return bins
    .filter(({ n }) => n > 0)
    .map(({ n, positives, sum }) => ({ n, positives, meanProbability: Math.min(1, sum / n) }));
}

/** Expected calibration error of a curve; null without images. */
export function expectedCalibrationError(bins: readonly CalibrationBin[]): number | null {
  const n = bins.reduce((total, bin) => total + bin.n, 0);
  if (n === 0) return null;
  return bins.reduce((sum, bin) => sum + Math.abs(bin.n * bin.meanProbability - bin.positives), 0) / n;
}
