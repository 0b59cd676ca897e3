/**
 * @file The weighted mean of the silos' parameters: federated averaging (McMahan et al., "Communication-efficient
 * learning of deep networks from decentralized data", AISTATS 2017).
 *
 * Sums run in float64 and in the order in which the updates are given, so the same updates give the same bits.
 */
import { checkParameters, fail, type ParameterSet, type ParameterShapes, type Tensor } from '../base/index.ts';

/** What one silo sends after training. */
export interface Update {
  readonly silo: string;
  /** Training images behind this update. */
  readonly examples: number;
  readonly parameters: ParameterSet;
}

/** `examples`: each silo counts by its training images. `mean`: each silo counts the same, as in the Azure ML example. */
export type Aggregation = 'examples' | 'mean';

/** Throws unless the update has the network's names and shapes, finite elements and a positive number of examples. */
export function checkUpdate(update: Update, expected: ParameterShapes): void {
  const where = `update of ${update.silo}`;
  if (!(Number.isSafeInteger(update.examples) && update.examples > 0)) {
    fail(where, `expected a positive number of training images, got ${update.examples}`, 'the update is not used');
  }
  checkParameters(update.parameters, expected, where);
}

/** Elements summed at once: they stay in the first cache. */
const BLOCK = 2048;

/** The mean of updates that {@link checkUpdate} has passed. Give them in the order of the silos. */
export function average(updates: readonly Update[], aggregation: Aggregation): ParameterSet {
  const first = updates[0] ?? fail('aggregation', 'no update to average', 'at least one silo must finish its training');
  const weights = updates.map(({ examples }) => (aggregation === 'mean' ? 1 : examples));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = new Map<string, Tensor>();
  for (const [name, { shape }] of first.parameters) {
    const columns = updates.map(({ parameters }) => parameters.get(name)!.data);
    const data = new Float32Array(columns[0]!.length);
    const sums = new Float64Array(Math.min(BLOCK, data.length));
    for (let start = 0; start < data.length; start += BLOCK) {
      const count = Math.min(BLOCK, data.length - start);
      sums.fill(0);
      for (const [k, column] of columns.entries()) addWeighted(sums, column, weights[k]!, start, count);
      for (let i = 0; i < count; i++) data[start + i] = sums[i]! / total;
    }
    mean.set(name, { shape, data });
  }
  return mean;
}

/** Column by column and not element by element: a loop over one array is what the compiler makes fast. */
function addWeighted(sums: Float64Array, column: Float32Array, weight: number, start: number, count: number): void {
  for (let i = 0; i < count; i++) sums[i]! += weight * column[start + i]!;
}
