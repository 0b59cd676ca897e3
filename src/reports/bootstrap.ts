/**
 * @file The bootstrap over patients. A patient's images are alike, so a replicate draws whole patients, with replacement,
 * not images (Rutter, Academic Radiology 7:413-419, 2000; Field and Welsh, JRSS B 69:369-390, 2007). Draws are
 * stratified by class, so that each replicate keeps both classes: patients with only negatives, with only positives, and
 * with both are three strata. Scores are ranked once; a replicate then only counts, it never sorts.
 */
import type { Rng } from '../base/index.ts';
import type { IntervalMetric } from './figures.ts';
import { aurocOfCounts } from './ranks.ts';

/** A scored set: per image its group of equal scores (ascending), its label and its predicted label, 0 or 1. */
export interface ScoredSample {
  readonly groups: number;
  readonly group: Int32Array;
  readonly labels: Uint8Array;
  readonly predicted: Uint8Array;
}

/** Units that are drawn together, each given by the indices of its images. */
export type Stratum = readonly (readonly number[])[];

/** A value of each figure per replicate; NaN where the sample lacks the class it needs. */
export type Replicates = Readonly<Record<IntervalMetric, Float64Array>>;

/** Strata of patients: only negatives, only positives, both. `patients` numbers the patient of each image. */
export function patientStrata(labels: Uint8Array, patients: ArrayLike<number>): Stratum[] {
  const imagesOf = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) {
    const images = imagesOf.get(patients[i]!);
    if (images) images.push(i);
    else imagesOf.set(patients[i]!, [i]);
  }
  const strata: number[][][] = [[], [], []];
  for (const images of imagesOf.values()) {
    const positives = images.filter((i) => labels[i] === 1).length;
    strata[positives === 0 ? 0 : positives === images.length ? 1 : 2]!.push(images);
  }
  return strata;
}

/** Strata of single images: negatives, positives. */
export const imageStrata = (labels: Uint8Array): Stratum[] => patientStrata(labels, [...labels.keys()]);

/** Draws as many units of each stratum as it has, `replicates` times, and measures each draw. */
export function bootstrap(sample: ScoredSample, strata: readonly Stratum[], replicates: number, rng: Rng): Replicates {
  const { groups, group, labels, predicted } = sample;
  const values = {
    auroc: new Float64Array(replicates),
    accuracy: new Float64Array(replicates),
    sensitivity: new Float64Array(replicates),
    specificity: new Float64Array(replicates),
  };
  const [negatives, positives] = [new Uint32Array(groups), new Uint32Array(groups)];
  // Images of this draw by 2 * label + predicted: true negative, false positive, false negative, true positive.
  const cells = new Uint32Array(4);
  for (let r = 0; r < replicates; r++) {
    negatives.fill(0);
    positives.fill(0);
    cells.fill(0);
    for (const units of strata) {
      for (let draw = 0; draw < units.length; draw++) {
        for (const i of units[rng.integer(units.length)]!) {
          (labels[i] === 1 ? positives : negatives)[group[i]!]! += 1;
          cells[2 * labels[i]! + predicted[i]!]! += 1;
        }
      }
    }
    const [tn, fp, fn, tp] = cells as unknown as [number, number, number, number];
    values.auroc[r] = aurocOfCounts({ negatives, positives }) ?? Number.NaN;
    values.accuracy[r] = (tp + tn) / (tn + fp + fn + tp);
    values.sensitivity[r] = tp / (tp + fn);
    values.specificity[r] = tn / (tn + fp);
  }
  return values;
}

/** Variance of replicates. */
export function variance(values: Float64Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
}
