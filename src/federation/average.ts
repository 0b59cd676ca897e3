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

/** The mean of updates that {@link checkUpdate} has passed. Give them in the order of the silos. */
export function average(updates: readonly Update[], aggregation: Aggregation): ParameterSet {
  const first = updates[0] ?? fail('aggregation', 'no update to average', 'at least one silo must finish its training');
  const weights = updates.map(({ examples }) => (aggregation === 'mean' ? 1 : examples));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = new Map<string, Tensor>();
  for (const [name, { shape }] of first.parameters) {
    const columns = updates.map(({ parameters }) => parameters.get(name)!.data);
    const data = new Float32Array(columns[0]!.length);
    for (let i = 0; i < data.length; i++) {
      let sum = 0;
      for (let k = 0; k < columns.length; k++) sum += weights[k]! * columns[k]![i]!;
      data[i] = sum / total;
    }
    mean.set(name, { shape, data });
  }
  return mean;
}
