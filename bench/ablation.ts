/**
 * @file Cross-validation of a recipe with patient-disjoint folds: the AUROC on held-out patients as their images are, and as
 * other acquisitions would have shown them (shift.ts).
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson, fail, openRng, sha256 } from '../src/base/index.ts';
import {
  evaluate,
  hasSecondMoments,
  initialParameters,
  type LabelledImages,
  openEngine,
  train,
} from '../src/engine/index.ts';
import { resizeBilinear } from '../src/radiographs/index.ts';
import { auroc } from '../src/reports/index.ts';
import type { Recipe } from './recipes.ts';
import { type Held, SHIFTS, type ShiftKind, shifted } from './shift.ts';

/** A collection, decoded. */
export interface Collection extends LabelledImages {
  /** Height and width of the images; networks get them resized. */
  readonly size: number;
  /** [N], by file name. */
  readonly patients: readonly string[];
}

export interface Plan {
  /** Parts that the patients are dealt to; each is held out once. */
  readonly folds: number;
  /** How many of them are held out, from the first; the others only train. */
  readonly foldsRun: number;
  readonly seeds: readonly number[];
  /** Held-out images of each class that are judged, at most. */
  readonly judged: number;
  /** Images to train on, at most; drawn at random. */
  readonly images: number;
  readonly threads: number;
  /** Folder that keeps what was measured; a second call goes on where the first ended. */
  readonly folder: string;
}

/** One training. */
export interface Outcome {
  readonly recipe: string;
  readonly fold: number;
  readonly seed: number;
  /** AUROC by the name of the shift. */
  readonly auroc: Readonly<Record<string, number>>;
  /** Mean of sensitivity and specificity at threshold 0.5, likewise. */
  readonly balanced: Readonly<Record<string, number>>;
  /** Of training alone. */
  readonly seconds: number;
  /** Mean cross-entropy in the last epoch. */
  readonly loss: number;
}

/** Trains and judges each recipe on each fold with each seed, or reads what an earlier call found. */
export async function* ablate(collection: Collection, recipes: readonly Recipe[], plan: Plan): AsyncGenerator<Outcome> {
  mkdirSync(plan.folder, { recursive: true });
  const data = createHash('sha256').update(collection.images).update(collection.labels).digest('hex');
  const foldOf = dealPatients(collection.patients, plan.folds);
  for (const seed of plan.seeds) {
    for (let fold = 0; fold < plan.foldsRun; fold++) {
      const held = chooseHeld(collection.labels, foldOf, fold, plan.judged);
      for (const recipe of recipes) {
        const key = sha256(
          canonicalJson({ recipe, fold, seed, data, folds: plan.folds, judged: plan.judged, images: plan.images }),
        );
        const path = join(plan.folder, `${key.slice(0, 32)}.json`);
        if (!existsSync(path)) {
          const outcome = await measure(collection, recipe, plan, { foldOf, fold, held, seed, data });
          writeFileSync(`${path}.part`, JSON.stringify(outcome));
          renameSync(`${path}.part`, path);
        }
        yield JSON.parse(readFileSync(path, 'utf8')) as Outcome;
      }
    }
  }
}

/** The held-out images of a fold that are judged. */
export function heldOut(collection: Collection, { folds, judged }: Plan, fold: number): Held {
  const held = chooseHeld(collection.labels, dealPatients(collection.patients, folds), fold, judged);
  const { size } = collection;
  return { images: pick(collection, held, size), labels: labelsOf(collection, held), size };
}

interface Part {
  readonly foldOf: Int32Array;
  readonly fold: number;
  readonly held: readonly number[];
  readonly seed: number;
  readonly data: string;
}

async function measure(collection: Collection, recipe: Recipe, plan: Plan, part: Part): Promise<Outcome> {
  const { name, network, augmentation, ...options } = recipe;
  const { batchSize, optimiser } = options;
  const { foldOf, fold, held, seed } = part;
  const size = network.imageSize;
  const others = Array.from(foldOf.keys()).filter((i) => foldOf[i] !== fold);
  const training = openRng(1, 'ablation images').shuffle(others).slice(0, plan.images);
  const images = { images: pick(collection, training, size), labels: labelsOf(collection, training) };
  const engine = await openEngine(network, {
    threads: plan.threads,
    batchSize,
    secondMoments: hasSecondMoments(optimiser),
  });
  try {
    engine.load(initialParameters(network, seed));
    const keyed = { ...options, seed, stream: [fold] };
    const start = performance.now();
    const fitted = await train(engine, images, augmentation ? { ...keyed, augmentation } : keyed);
    const seconds = (performance.now() - start) / 1000;
    const labels = labelsOf(collection, held);
    const found: Record<string, number> = {};
    const balanced: Record<string, number> = {};
    for (const shift of SHIFTS) {
      const shown = await shiftedImages(collection, shift, size, plan.folder, part);
      const { probabilities } = await evaluate(engine, { images: shown, labels });
      found[shift.name] = auroc(probabilities, labels)!;
      balanced[shift.name] = balancedAccuracy(probabilities, labels);
    }
    return { recipe: name, fold, seed, auroc: found, balanced, seconds, loss: fitted.epochs.at(-1)!.loss };
  } finally {
    await engine.close();
  }
}

function balancedAccuracy(probabilities: Float32Array, labels: Uint8Array): number {
  const right = [0, 1].map((label) => {
    const own = probabilities.filter((_, i) => labels[i] === label);
    return own.filter((p) => (p >= 0.5 ? 1 : 0) === label).length / own.length;
  });
  return (right[0]! + right[1]!) / 2;
}

/** The held-out images under a shift, at the network's size. Shifts are slow, so what was made is kept. */
async function shiftedImages(
  collection: Collection,
  shift: (typeof SHIFTS)[number],
  size: number,
  folder: string,
  { held, fold, data }: Part,
): Promise<Uint8Array> {
  const key = sha256(canonicalJson({ data, shift: shift.name, fold, held: [...held] })).slice(0, 32);
  const path = join(folder, `${key}.u8`);
  if (!existsSync(path)) {
    const untouched = pick(collection, held, collection.size);
    const labels = labelsOf(collection, held);
    writeFileSync(`${path}.part`, await shifted(shift, { images: untouched, labels, size: collection.size }, fold));
    renameSync(`${path}.part`, path);
  }
  const images = new Uint8Array(readFileSync(path));
  return pick({ images, size: collection.size }, Array.from(held.keys()), size);
}

/** The chosen images, resized. */
function pick(
  { images, size }: Pick<Collection, 'images' | 'size'>,
  chosen: readonly number[],
  to: number,
): Uint8Array {
  const result = new Uint8Array(chosen.length * to * to);
  for (const [i, from] of chosen.entries()) {
    const pixels = images.subarray(from * size * size, (from + 1) * size * size);
    result.set(resizeBilinear({ width: size, height: size, pixels }, to, to).pixels, i * to * to);
  }
  return result;
}

const labelsOf = ({ labels }: LabelledImages, chosen: readonly number[]): Uint8Array =>
  Uint8Array.from(chosen, (i) => labels[i]!);

/** The fold of each image: patients are shuffled and dealt in turn, whatever their diagnosis. */
function dealPatients(patients: readonly string[], folds: number): Int32Array {
  const shuffled = openRng(1, 'ablation folds').shuffle([...new Set(patients)].sort());
  if (folds < 2 || shuffled.length < folds)
    fail('ablation', `expected 2 to ${shuffled.length} folds, got ${folds}`, 'there must be a patient in each');
  const fold = new Map(shuffled.map((patient, i) => [patient, i % folds]));
  return Int32Array.from(patients, (patient) => fold.get(patient)!);
}

/** At most `most` held-out images of each class. */
function chooseHeld(labels: Uint8Array, foldOf: Int32Array, fold: number, most: number): readonly number[] {
  const held = Array.from(foldOf.keys()).filter((i) => foldOf[i] === fold);
  const chosen = [0, 1].map((label) =>
    openRng(1, 'ablation held', fold, label)
      .shuffle(held.filter((i) => labels[i] === label))
      .slice(0, most),
  );
  if (chosen.some(({ length }) => length < 2))
    fail('ablation', `fold ${fold} holds fewer than 2 images of a class`, 'use fewer folds or more images');
  return chosen.flat();
}

/** One line of the table: means over folds and seeds. */
export interface Row {
  readonly recipe: string;
  readonly trainings: number;
  readonly none: number;
  readonly scanner: { readonly mean: number; readonly worst: number };
  readonly class: { readonly mean: number; readonly worst: number };
  /** AUROC and balanced accuracy by the name of the shift. */
  readonly shifts: Readonly<Record<string, number>>;
  readonly balanced: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Outcomes to rows, in the order in which recipes first appear. */
export function tabulate(outcomes: readonly Outcome[]): readonly Row[] {
  return [...Map.groupBy(outcomes, ({ recipe }) => recipe)].map(([recipe, own]) => {
    const byShift = (figure: 'auroc' | 'balanced'): Record<string, number> =>
      Object.fromEntries(SHIFTS.map(({ name }) => [name, mean(own.map((outcome) => outcome[figure][name]!))]));
    const shifts = byShift('auroc');
    const over = (kind: ShiftKind) => {
      const values = SHIFTS.filter((shift) => shift.kind === kind).map(({ name }) => shifts[name]!);
      return { mean: mean(values), worst: Math.min(...values) };
    };
    return {
      recipe,
      trainings: own.length,
      none: shifts['none']!,
      scanner: over('scanner'),
      class: over('class'),
      shifts,
      balanced: byShift('balanced'),
      seconds: mean(own.map(({ seconds }) => seconds)),
    };
  });
}
