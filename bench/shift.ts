/**
 * @file How a model does on images taken otherwise than those it learned from, judged with held-out patients of the same
 * collection: every image is changed as another acquisition would change it, and the AUROC measured again.
 *
 * Scanner shifts change all images alike. Class shifts undo or exchange what tells the classes apart without regard to the
 * disease (acquisition.ts): a model that learned the acquisition fails them. They cannot show how it does on other
 * populations, devices that look altogether different, or shortcuts that acquisition.ts does not measure.
 */
import { openRng, type Rng } from '../src/base/index.ts';
import { type Acquisition, acquiredAs, acquisitionOf, blend, gaussian, magnify } from './acquisition.ts';

/** Images that no shift has touched. */
export interface Held {
  /** [N, size, size]. */
  readonly images: Uint8Array;
  /** [N], 1 = PNEUMONIA, 0 = NORMAL. */
  readonly labels: Uint8Array;
  readonly size: number;
}

export type ShiftKind = 'none' | 'scanner' | 'class';

interface Context {
  readonly label: number;
  readonly rng: Rng;
  /** How some image of this class was taken; of any class, each as likely, when undefined. */
  acquisition(label?: number): Acquisition;
}

interface Shift {
  readonly name: string;
  readonly kind: ShiftKind;
  apply(image: Uint8Array, size: number, context: Context): Uint8Array | Promise<Uint8Array>;
}

const grey = (image: Uint8Array, change: (value: number) => number): Uint8Array => {
  const table = Uint8Array.from({ length: 256 }, (_, v) => 255 * Math.min(1, Math.max(0, change(v / 255))) + 0.5);
  return image.map((value) => table[value]!);
};

const scanner = (name: string, apply: Shift['apply']): Shift => ({ name, kind: 'scanner', apply });
const byClass = (name: string, apply: Shift['apply']): Shift => ({ name, kind: 'class', apply });

/** Blur and noise are in pixels and grey values of a 224 pixels wide image; others scale. */
const pixels = (size: number, at224: number): number => (at224 * size) / 224;

const only = (part: 'aspect' | 'sharpness' | 'grey') => ({
  aspect: part === 'aspect',
  sharpness: part === 'sharpness',
  grey: part === 'grey',
});

export const SHIFTS: readonly Shift[] = [
  { name: 'none', kind: 'none', apply: (image) => image },
  scanner('darker', (image) => grey(image, (v) => v - 0.15)),
  scanner('brighter', (image) => grey(image, (v) => v + 0.15)),
  scanner('less contrast', (image) => grey(image, (v) => 0.5 + (v - 0.5) * 0.65)),
  scanner('more contrast', (image) => grey(image, (v) => 0.5 + (v - 0.5) * 1.5)),
  scanner('gamma 0.6', (image) => grey(image, (v) => v ** 0.6)),
  scanner('gamma 1.6', (image) => grey(image, (v) => v ** 1.6)),
  scanner('nearer', (image, size) => magnify(image, size, 1.2, 1.2)),
  scanner('farther', (image, size) => magnify(image, size, 0.85, 0.85)),
  scanner('wider', (image, size) => magnify(image, size, 1.25, 1)),
  scanner('taller', (image, size) => magnify(image, size, 1, 1.25)),
  scanner('rotated 8 degrees', (image, size, { rng }) => magnify(image, size, 1, 1, rng.uniform() < 0.5 ? -8 : 8)),
  scanner('blurred', (image, size) => blend(image, gaussian(image, size, pixels(size, 1.6)), 1)),
  scanner('sharpened', (image, size) => blend(image, gaussian(image, size, pixels(size, 1.2)), -1)),
  scanner('a third of the resolution', (image, size) => reduced(image, size, Math.round(size / 3))),
  scanner('JPEG quality 12', (image, size) => jpeg(image, size, 12)),
  scanner('noise of 7 %', (image, _size, { rng }) => image.map((v) => clip(v + 255 * 0.07 * rng.normal()))),
  scanner('black border of 7 %', (image, size) => border(image, size, 0.07)),
  byClass('same aspect', (image, size, { acquisition }) => acquiredAs(image, size, acquisition(), only('aspect'))),
  byClass('same sharpness', (image, size, { acquisition }) =>
    acquiredAs(image, size, acquisition(), only('sharpness')),
  ),
  byClass('same exposure', (image, size, { acquisition }) => acquiredAs(image, size, acquisition(), only('grey'))),
  byClass('same acquisition', (image, size, { acquisition }) => acquiredAs(image, size, acquisition())),
  byClass('NORMAL taken as PNEUMONIA', (image, size, { label, acquisition }) =>
    label === 1 ? image : acquiredAs(image, size, acquisition(1)),
  ),
  byClass('PNEUMONIA taken as NORMAL', (image, size, { label, acquisition }) =>
    label === 0 ? image : acquiredAs(image, size, acquisition(0)),
  ),
  byClass('acquisitions exchanged', (image, size, { label, acquisition }) =>
    acquiredAs(image, size, acquisition(1 - label)),
  ),
];

/** The images under one shift, [N, size, size]; depends on the seed, the shift and the images alone. */
export async function shifted(shift: Shift, { images, labels, size }: Held, seed: number): Promise<Uint8Array> {
  const area = size * size;
  const image = (i: number): Uint8Array => images.subarray(i * area, (i + 1) * area);
  const classes = [0, 1].map((label) => Array.from(labels.keys()).filter((i) => labels[i] === label));
  const result = new Uint8Array(images.length);
  for (const [i, label] of labels.entries()) {
    const rng = openRng(seed, 'shift', shift.name, i);
    const acquisition = (wanted?: number): Acquisition => {
      const from = classes[wanted ?? rng.integer(2)]!;
      return acquisitionOf(image(from[rng.integer(from.length)]!), size);
    };
    result.set(await shift.apply(image(i), size, { label, rng, acquisition }), i * area);
  }
  return result;
}

const clip = (value: number): number => Math.min(255, Math.max(0, value)) + 0.5;

function border(image: Uint8Array, size: number, share: number): Uint8Array {
  const width = Math.round(share * size);
  const outside = (at: number): boolean => at < width || at >= size - width;
  return image.map((v, at) => (outside(at % size) || outside(Math.floor(at / size)) ? 0 : v));
}

async function reduced(image: Uint8Array, size: number, small: number): Promise<Uint8Array> {
  const sharp = await openSharp();
  const raw = { width: size, height: size, channels: 1 } as const;
  const less = await sharp(image, { raw })
    .resize(small, small, { kernel: 'linear' })
    .toColourspace('b-w')
    .raw()
    .toBuffer();
  const back = sharp(less, { raw: { width: small, height: small, channels: 1 } });
  return back.resize(size, size, { kernel: 'linear' }).toColourspace('b-w').raw().toBuffer();
}

async function jpeg(image: Uint8Array, size: number, quality: number): Promise<Uint8Array> {
  const sharp = await openSharp();
  const raw = { width: size, height: size, channels: 1 } as const;
  const file = await sharp(image, { raw }).toColourspace('b-w').jpeg({ quality }).toBuffer();
  return sharp(file).toColourspace('b-w').raw().toBuffer();
}

const openSharp = async () => (await import('sharp')).default;
