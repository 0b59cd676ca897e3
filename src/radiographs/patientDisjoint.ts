/**
 * @file Patients to hospitals, then each hospital's patients to train, val and test. No patient is in two hospitals or
 * in two splits. Depends on the file names and the seed, never on the order in which a directory lists them.
 */
import { fail, openRng, type Rng } from '../base/index.ts';
import { byCodePoint, CLASSES, type ClassName, type LabelledFile, SPLITS } from './layout.ts';
import type { Placed } from './roundRobin.ts';

/** Shares of images in train, val and test. */
const SPLIT_SHARES: readonly number[] = [0.8, 0.1, 0.1];
/** A Dirichlet draw that leaves a hospital with fewer images than this is drawn again (as in NIID-Bench, Li et al. 2022). */
const FEWEST_IMAGES = 10;
const DIRICHLET_DRAWS = 1000;

export interface Skew {
  /** Concentration of a Dirichlet over hospitals, drawn for each class; undefined: every hospital has the same prevalence. */
  readonly labelSkewAlpha?: number | undefined;
  /** Relative number of images of each hospital; undefined: all equal. */
  readonly sizeSkew?: readonly number[] | undefined;
}

interface Patient {
  readonly key: string;
  readonly files: readonly LabelledFile[];
}

/** The files of one hospital, patients kept together; `files` in any order. Every hospital must pass the same arguments. */
export function patientDisjoint(
  files: readonly LabelledFile[],
  siloIndex: number,
  siloCount: number,
  skew: Skew,
  seed: number,
): Placed[] {
  const strata = stratify(files);
  const shares = siloShares(strata, siloCount, skew, seed);
  return strata.flatMap((patients, c) => {
    const label = CLASSES[c]!;
    const own = deal(patients, shares[c]!, openRng(seed, 'patients to silos', label))[siloIndex]!;
    const splits = deal(own, SPLIT_SHARES, openRng(seed, 'patients to splits', label, siloIndex));
    return splits.flatMap((dealt, s) =>
      dealt.flatMap((patient) => patient.files.map((file) => ({ file, split: SPLITS[s]! }))),
    );
  });
}

/** Patients by class, sorted. A patient with any image of pneumonia belongs to that class, with all images. */
function stratify(files: readonly LabelledFile[]): Patient[][] {
  const patients = [...Map.groupBy(files, ({ patient }) => patient)]
    .map(([key, own]) => ({ key, files: own.toSorted((a, b) => byCodePoint(a.path, b.path)) }))
    .sort((a, b) => byCodePoint(a.key, b.key));
  const classOf = (patient: Patient): ClassName =>
    patient.files.some(({ label }) => label === 'PNEUMONIA') ? 'PNEUMONIA' : 'NORMAL';
  return CLASSES.map((label) => patients.filter((patient) => classOf(patient) === label));
}

/**
 * Deals patients to bins so that the bins hold images in proportion to `shares` (any positive scale; 0 gets nothing).
 * Patients with the most images go first, each to the bin that would be filled least (greedy scheduling on machines
 * of different speed, Graham 1966): small patients then even out what the large ones left. The shuffle chooses among equals.
 */
function deal(patients: readonly Patient[], shares: readonly number[], rng: Rng): Patient[][] {
  const bins = shares.map((): Patient[] => []);
  const held = shares.map(() => 0);
  for (const patient of rng.shuffle([...patients]).sort((a, b) => b.files.length - a.files.length)) {
    const filled = shares.map((share, b) => (held[b]! + patient.files.length) / share);
    const least = filled.indexOf(Math.min(...filled));
    bins[least]!.push(patient);
    held[least]! += patient.files.length;
  }
  return bins;
}

/** For each class, the share of its images that each hospital gets. */
function siloShares(strata: readonly Patient[][], siloCount: number, skew: Skew, seed: number): number[][] {
  const sizes = skew.sizeSkew ?? new Array<number>(siloCount).fill(1);
  const alpha = skew.labelSkewAlpha;
  if (alpha === undefined) return CLASSES.map(() => [...sizes]);
  const images = strata.map((patients) => patients.reduce((sum, patient) => sum + patient.files.length, 0));
  const rng = openRng(seed, 'label skew');
  for (let draw = 0; draw < DIRICHLET_DRAWS; draw++) {
    const shares = CLASSES.map(() => normalised(sizes.map((size) => size * gamma(alpha, rng))));
    const held = sizes.map((_, s) => shares.reduce((sum, share, c) => sum + share[s]! * images[c]!, 0));
    if (held.every((count) => count >= FEWEST_IMAGES)) return shares;
  }
  return fail(
    'partition.labelSkewAlpha',
    `with ${alpha}, ${siloCount} hospitals and ${images.join(' + ')} images, some hospital always has fewer than ${FEWEST_IMAGES} images`,
    'choose a larger labelSkewAlpha, such as 0.5, or fewer hospitals',
  );
}

const normalised = (weights: readonly number[]): number[] => {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
};

/** A gamma variate of this shape and scale 1 (Marsaglia and Tsang 2000, with their boost below shape 1). */
function gamma(shape: number, rng: Rng): number {
  if (shape < 1) return gamma(shape + 1, rng) * (1 - rng.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = rng.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - rng.uniform()) < x ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}
