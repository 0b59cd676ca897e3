/** @file Operations of the oracle on each element alone. */
import { erf } from '../erf.ts';
import { type Batch, batchOf, type Evaluated, product } from './tensor.ts';

/** max(0, x); the gradient at 0 is 0. */
export const relu = (x: Batch): Evaluated =>
  pointwise(
    x,
    (value) => Math.max(0, value),
    (value) => (value > 0 ? 1 : 0),
  );

/** x P(x), P the standard normal distribution function; its slope is P(x) + x p(x), p the density. */
export const gelu = (x: Batch): Evaluated =>
  pointwise(
    x,
    (value) => value * normal(value),
    (value) => normal(value) + (value * Math.exp((-value * value) / 2)) / Math.sqrt(2 * Math.PI),
  );

/** x times the mask: 0, or 1 / probability of keeping. */
export function dropout(x: Batch, mask: Float64Array): Evaluated {
  return { y: batchOf(x.images, x.shape, product(x.data, mask)), backward: (gY) => ({ gX: product(gY, mask) }) };
}

function pointwise(x: Batch, f: (value: number) => number, slope: (value: number) => number): Evaluated {
  const y = x.data.map((value) => f(value));
  const slopes = x.data.map((value) => slope(value));
  return { y: batchOf(x.images, x.shape, y), backward: (gY) => ({ gX: product(gY, slopes) }) };
}

const normal = (x: number): number => (1 + erf(x / Math.SQRT2)) / 2;
