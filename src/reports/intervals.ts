/**
 * @file 95 % intervals: percentiles of bootstrap replicates, and score intervals for where the bootstrap knows nothing.
 * When every image is right, every replicate is 1 and the percentiles say [1, 1]; the score intervals (Wilson, JASA
 * 22:209-212, 1927, for a proportion; Newcombe, Statistics in Medicine 25:559-573, 2006, method 5, for AUROC) still have width.
 */
import type { Interval } from './figures.ts';

/** The 97.5 % point of the standard normal distribution. */
const Z = 1.959963984540054;

/** Percentile interval of replicates (Efron and Tibshirani, 1993, chapter 13), linear between order statistics. */
export function percentileInterval(replicates: Float64Array): Interval {
  const sorted = replicates.toSorted();
  const at = (q: number): number => {
    const position = q * (sorted.length - 1);
    const below = Math.floor(position);
    const [low, high] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!];
    return low + (position - below) * (high - low);
  };
  return [at(0.025), at(0.975)];
}

/** Wilson's interval of a proportion seen in `n` independent units. */
export function proportionInterval(p: number, n: number): Interval {
  const centre = (p + Z ** 2 / (2 * n)) / (1 + Z ** 2 / n);
  const half = (Z / (1 + Z ** 2 / n)) * Math.sqrt((p * (1 - p)) / n + Z ** 2 / (4 * n ** 2));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/** Newcombe's method 5: the values t of AUROC with |t - auroc| = z sqrt(V(t)), from `m` positive and `n` negative units. */
export function aurocInterval(auroc: number, m: number, n: number): Interval {
  const extra = (m + n) / 2 - 1;
  const errorAt = (t: number): number =>
    Z * Math.sqrt((t * (1 - t) * (1 + (extra * (1 - t)) / (2 - t) + (extra * t) / (1 + t))) / (m * n));
  const edge = (from: number, to: number): number => {
    // `inside` stays within the interval, `outside` without it; 60 halvings reach double precision.
    let [inside, outside] = [from, to];
    for (let step = 0; step < 60; step++) {
      const middle = (inside + outside) / 2;
      if (Math.abs(auroc - middle) <= errorAt(middle)) inside = middle;
      else outside = middle;
    }
    return inside;
  };
  return [auroc === 0 ? 0 : edge(auroc, 0), auroc === 1 ? 1 : edge(auroc, 1)];
}

/** Stretches an interval around its estimate by the square root of a design effect, within [0, 1]. */
export const widen = ([low, high]: Interval, estimate: number, designEffect: number): Interval => [
  Math.max(0, estimate - Math.sqrt(designEffect) * Math.max(0, estimate - low)),
  Math.min(1, estimate + Math.sqrt(designEffect) * Math.max(0, high - estimate)),
];
