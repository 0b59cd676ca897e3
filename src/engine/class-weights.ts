/** @file Weights of the two classes in the loss: for data in which one class is rarer than the other. */
import { z } from 'zod';

const weight = z.number().positive().max(1000);

/** `none`, `balanced`, or the weights of NORMAL and PNEUMONIA. */
export const classWeightsSchema = z.union([z.enum(['none', 'balanced']), z.tuple([weight, weight])], {
  error: 'expected none, balanced, or two weights: [of NORMAL, of PNEUMONIA]',
});

export type ClassWeights = z.infer<typeof classWeightsSchema>;

/**
 * The weights for these training labels, or undefined where all images weigh the same. `balanced` is scikit-learn's: n / (2 n_c), by the
 * labels of this hospital alone, so that no count has to leave it. A class without images has no use for its weight, 1.
 */
export function weightsFor(classWeights: ClassWeights, labels: Uint8Array): readonly [number, number] | undefined {
  if (classWeights === 'none') return undefined;
  if (classWeights !== 'balanced') return classWeights;
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const of = (count: number): number => (count === 0 ? 1 : labels.length / (2 * count));
  return [of(labels.length - positives), of(positives)];
}
