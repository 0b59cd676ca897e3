/**
 * @file Synthetic patients and their chest radiographs, to try and test everything without data. Each hospital has its own
 * patients, its own mix of disease and its own way of taking images; labels belong to patients, who have 1 to 3 images.
 * Synthetic: no number measured on them says anything about patients.
 */
import { openRng, type Rng } from '../base/index.ts';
import type { Collection } from './collection.ts';
import { byCodePoint, type ClassName, type LabelledFile } from './layout.ts';
import { patientOf } from './patient.ts';
import { breathe, drawAnatomy, drawChest } from './phantomChest.ts';
import { drawOpacity, paintDistractors, paintOpacity } from './phantomOpacity.ts';
import { drawKind, expose, type House, houseOf } from './phantomScanner.ts';
import { loadSharp } from './sharp.ts';

const MOST_IMAGES_PER_PATIENT = 3;
/** Numbers of patients start this far apart, so that hospitals never share one. */
const NUMBERS_PER_SILO = 100_000;

interface Phantom {
  readonly label: ClassName;
  readonly patient: number;
  /** 1, 2 or 3. */
  readonly image: number;
}

export interface PhantomRequest {
  readonly imagesPerSilo: number;
  /** Height and width, pixels. */
  readonly imageSize: number;
}

/** The synthetic images of one hospital as PNG files; the same arguments give the same pixels. */
export function openPhantoms(
  { imagesPerSilo, imageSize }: PhantomRequest,
  siloIndex: number,
  seed: number,
): Collection {
  const rng = (...labels: (string | number)[]): Rng => openRng(seed, 'phantom', siloIndex, ...labels);
  const house = houseOf(siloIndex, rng('house'));
  const phantoms = new Map(
    drawCohort(house, imagesPerSilo, siloIndex, rng('cohort')).map((phantom) => {
      const name = `phantom_person${phantom.patient}_${phantom.image}.png`;
      return [`${phantom.label}/${name}`, { ...phantom, name }];
    }),
  );
  const files = [...phantoms].map(
    ([path, { name, label }]): LabelledFile => ({ path, name, label, patient: patientOf(name) }),
  );
  return {
    files: files.sort((a, b) => byCodePoint(a.path, b.path)),
    read: async ({ path }) => {
      const sharp = await loadSharp();
      const pixels = drawPhantom(phantoms.get(path)!, house, imageSize, rng);
      const raw = { width: imageSize, height: imageSize, channels: 1 } as const;
      return sharp(pixels, { raw }).toColourspace('b-w').png().toBuffer();
    },
    close: () => {},
  };
}

/** Patients with the hospital's prevalence until there are enough images. */
function drawCohort({ prevalence }: House, images: number, siloIndex: number, rng: Rng): Phantom[] {
  const cohort: Phantom[] = [];
  let ill = 0;
  for (let number = 1; cohort.length < images; number++) {
    // The class that lags behind the prevalence comes next: even a small cohort has both.
    const label = ill + 0.5 < prevalence * (cohort.length + 1) ? 'PNEUMONIA' : 'NORMAL';
    const count = Math.min(1 + rng.integer(MOST_IMAGES_PER_PATIENT), images - cohort.length);
    const patient = siloIndex * NUMBERS_PER_SILO + number;
    for (let image = 1; image <= count; image++) cohort.push({ label, patient, image });
    if (label === 'PNEUMONIA') ill += count;
  }
  return cohort;
}

/** One image, `[imageSize, imageSize]` grey. */
function drawPhantom(
  { patient, image, label }: Phantom,
  house: House,
  imageSize: number,
  rng: (...labels: (string | number)[]) => Rng,
): Uint8Array {
  const ill = label === 'PNEUMONIA';
  const anatomy = drawAnatomy(rng('anatomy', patient));
  const once = rng('image', patient, image);
  const breath = breathe(anatomy, once.uniform() * 2 - 1);
  const chest = drawChest(breath, imageSize, rng('vessels', patient));
  const disease = rng('disease', patient);
  if (ill) paintOpacity(chest, breath, drawOpacity(drawKind(house, disease), house.lowerLobes, disease), once);
  paintDistractors(chest, once);
  return expose(chest, house, ill, once);
}
