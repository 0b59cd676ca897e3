/**
 * @file How a hospital's equipment and habits show in its images: exposure, contrast, gamma, sharpness, noise, vignette,
 * collimation, positioning and side markers. Hospitals differ on purpose, and at some the exposure goes with the
 * diagnosis (the ill are X-rayed in bed): a model that learns from one hospital learns its habits too.
 */
import type { Rng } from '../base/index.ts';
import { type Canvas, forEachPixel } from './phantomChest.ts';
import type { OpacityKind } from './phantomOpacity.ts';

/** What is typical of a hospital. */
export interface House {
  /** Share of patients with pneumonia. */
  readonly prevalence: number;
  /** Share of its pneumonia that is lobar; the rest is patchy. */
  readonly lobar: number;
  /** Share of its pneumonia that sits in the lower lobes. */
  readonly lowerLobes: number;
  /** Attenuation shown as black and as white. */
  readonly window: readonly [number, number];
  readonly gamma: number;
  /** Standard deviation of the blur, in units of half the film. */
  readonly blur: number;
  /** Standard deviation of the noise, as a share of full scale. */
  readonly noiseStd: number;
  /** Loss of brightness in the corners, as a share of full scale. */
  readonly vignette: number;
  /** Width of the black border, in units of half the film. */
  readonly border: number;
  /** Standard deviation of the rotation, degrees. */
  readonly rotationStd: number;
  /** Brightness added to images of the ill and taken from those of the healthy, as a share of full scale. */
  readonly illBrighter: number;
  /** Where the side marker is put: the patient's left is at the right. */
  readonly marker: readonly [u: number, v: number];
}

const HOUSES: readonly House[] = [
  {
    prevalence: 0.58,
    lobar: 1,
    lowerLobes: 0.8,
    window: [0.1, 1.5],
    gamma: 0.9,
    blur: 0.008,
    noiseStd: 0.028,
    vignette: 0.05,
    border: 0.02,
    rotationStd: 1.5,
    illBrighter: 0.04,
    marker: [0.82, -0.85],
  },
  {
    prevalence: 0.42,
    lobar: 0,
    lowerLobes: 0.6,
    window: [0.1, 1.52],
    gamma: 1.1,
    blur: 0.018,
    noiseStd: 0.03,
    vignette: 0.08,
    border: 0.04,
    rotationStd: 3,
    illBrighter: -0.04,
    marker: [0.74, 0.8],
  },
  {
    prevalence: 0.5,
    lobar: 0.5,
    lowerLobes: 0.4,
    window: [0.11, 1.49],
    gamma: 1,
    blur: 0.004,
    noiseStd: 0.03,
    vignette: 0,
    border: 0,
    rotationStd: 2,
    illBrighter: -0.02,
    marker: [0.6, -0.87],
  },
];

/** The habits of a hospital: three kinds, then variations of them. */
export function houseOf(siloIndex: number, rng: Rng): House {
  const house = HOUSES[siloIndex % HOUSES.length]!;
  if (siloIndex < HOUSES.length) return house;
  const vary = (value: number): number => value * (0.85 + 0.3 * rng.uniform());
  return {
    ...house,
    prevalence: vary(house.prevalence),
    window: [house.window[0], vary(house.window[1])],
    gamma: vary(house.gamma),
    noiseStd: vary(house.noiseStd),
    rotationStd: vary(house.rotationStd),
  };
}

/** Which kind of pneumonia the next patient of this hospital has. */
export const drawKind = ({ lobar }: House, rng: Rng): OpacityKind => (rng.uniform() < lobar ? 'lobar' : 'patchy');

/** Takes the image: attenuation to 8-bit grey `[size, size]`. */
export function expose(chest: Canvas, house: House, ill: boolean, rng: Rng): Uint8Array {
  const { size } = chest;
  const turned = blurred(rotated(chest, (house.rotationStd * rng.normal() * Math.PI) / 180), house.blur);
  const [black, white] = house.window;
  const exposure = 0.035 * rng.normal() + (ill ? house.illBrighter : -house.illBrighter);
  const contrast = 1 + 0.06 * rng.normal();
  const border = house.border * (0.5 + rng.uniform());
  const [shiftU, shiftV] = [0.03 * rng.normal(), 0.03 * rng.normal()];
  forEachPixel(turned, (u, v, attenuation) => {
    const linear = Math.min(1, Math.max(0, (attenuation - black) / (white - black)));
    const shown = (linear ** house.gamma - 0.5) * contrast + 0.5 + exposure;
    const lit = shown - house.vignette * 0.5 * (u * u + v * v) + house.noiseStd * grain(rng);
    const [mu, mv] = [u - house.marker[0] - shiftU, v - house.marker[1] - shiftV];
    const marked = isLetterL(mu, mv) ? 0.97 : lit;
    return Math.max(Math.abs(u), Math.abs(v)) > 1 - border ? 0.01 : marked;
  });
  return Uint8Array.from({ length: size * size }, (_, i) =>
    Math.round(255 * Math.min(1, Math.max(0, turned.values[i]!))),
  );
}

/** Nearly normal (the sum of four uniforms) from one word of the generator: every pixel takes one. */
function grain(rng: Rng): number {
  const word = rng.uint32();
  const sum = (word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24);
  return (sum - 510) / 147.8;
}

/** The lead letter that technicians put on the film. */
const isLetterL = (u: number, v: number): boolean =>
  Math.abs(u) < 0.045 && Math.abs(v) < 0.07 && (u < -0.015 || v > 0.035);

/** Turned by an angle in radians, bilinear, the edge repeated. */
function rotated({ size, values }: Canvas, angle: number): Canvas {
  const result = { size, values: new Float32Array(size * size) };
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const at = (x: number, y: number): number =>
    values[Math.min(size - 1, Math.max(0, y)) * size + Math.min(size - 1, Math.max(0, x))]!;
  forEachPixel(result, (u, v) => {
    const x = ((u * cos - v * sin + 1) / 2) * size - 0.5;
    const y = ((u * sin + v * cos + 1) / 2) * size - 0.5;
    const [left, top] = [Math.floor(x), Math.floor(y)];
    const [right, down] = [x - left, y - top];
    const upper = at(left, top) * (1 - right) + at(left + 1, top) * right;
    const lower = at(left, top + 1) * (1 - right) + at(left + 1, top + 1) * right;
    return upper * (1 - down) + lower * down;
  });
  return result;
}

/** Blurred by a Gaussian, the edge repeated. */
function blurred(canvas: Canvas, std: number): Canvas {
  const sigma = (std * canvas.size) / 2;
  if (sigma < 0.2) return canvas;
  return blurredRows(transposed(blurredRows(transposed(canvas), sigma)), sigma);
}

function blurredRows({ size, values }: Canvas, sigma: number): Canvas {
  const radius = Math.ceil(3 * sigma);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-0.5 * ((i - radius) / sigma) ** 2));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const result = new Float32Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let blend = 0;
      for (let i = -radius; i <= radius; i++) {
        blend += weights[i + radius]! * values[y * size + Math.min(size - 1, Math.max(0, x + i))]!;
      }
      result[y * size + x] = blend / sum;
    }
  }
  return { size, values: result };
}

function transposed({ size, values }: Canvas): Canvas {
  return { size, values: values.map((_, i) => values[(i % size) * size + Math.floor(i / size)]!) };
}
