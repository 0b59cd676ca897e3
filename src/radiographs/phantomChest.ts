/**
 * @file A synthetic chest in frontal projection: how much each part weakens the beam, summed along it. Not a simulation
 * of X-rays, only enough anatomy that a network must look at the lungs: outline, spine, mediastinum, heart, diaphragm,
 * ribs, clavicles, vessels. Every patient has other proportions.
 *
 * Coordinates: u runs left to right and v top to bottom, both -1 to 1, as the film is viewed: the patient's right lung is
 * at negative u, the heart's apex at positive u. Attenuation has no unit: lung is about 0.3, mediastinum about 1.
 */
import type { Rng } from '../base/index.ts';

/** A square picture of attenuation or grey, `[size, size]`. */
export interface Canvas {
  readonly size: number;
  readonly values: Float32Array;
}

/** The proportions of one patient; lengths in units of half the film. */
export interface Anatomy {
  readonly lungHalfWidth: number;
  readonly lungTop: number;
  /** v of the top of the diaphragm's domes, right and left. */
  readonly domes: readonly [number, number];
  readonly heartHalfWidth: number;
  readonly mediastinumHalfWidth: number;
  readonly ribSpacing: number;
  readonly ribContrast: number;
  readonly claviclesTilt: number;
  readonly bodyThickness: number;
  readonly vesselContrast: number;
  /** 0 where the stomach holds no air. */
  readonly stomachAir: number;
  /** Names the random details: vessels and texture. */
  readonly details: number;
}

const between = (rng: Rng, low: number, high: number): number => low + (high - low) * rng.uniform();

/** Draws the proportions of a patient. */
export function drawAnatomy(rng: Rng): Anatomy {
  const dome = between(rng, 0.3, 0.5);
  return {
    lungHalfWidth: between(rng, 0.7, 0.84),
    lungTop: between(rng, -0.86, -0.76),
    domes: [dome, dome + between(rng, 0.03, 0.1)],
    heartHalfWidth: between(rng, 0.27, 0.37),
    mediastinumHalfWidth: between(rng, 0.11, 0.16),
    ribSpacing: between(rng, 0.135, 0.165),
    ribContrast: between(rng, 0.06, 0.11),
    claviclesTilt: between(rng, 0.05, 0.22),
    bodyThickness: between(rng, 0.92, 1.12),
    vesselContrast: between(rng, 0.06, 0.14),
    stomachAir: rng.uniform() < 0.5 ? between(rng, 0.1, 0.3) : 0,
    details: rng.integer(2 ** 31),
  };
}

/** A fuller or shallower breath than the patient's own: `depth` -1 to 1. */
export const breathe = (anatomy: Anatomy, depth: number): Anatomy => ({
  ...anatomy,
  domes: [anatomy.domes[0] + 0.06 * depth, anatomy.domes[1] + 0.06 * depth],
});

/** How much of the beam's path at (u, v) lies in lung: 0 to about 1. */
export function lungAt(a: Anatomy, u: number, v: number): number {
  const t = (v - a.lungTop) / (1 - a.lungTop);
  if (t <= 0 || t >= 1) return 0;
  const side = Math.abs(u);
  const outer = outerBorder(a, v);
  const inside = edge((outer - side) / 0.025) * edge((side - innerBorder(a, u, v)) / 0.025);
  const above = edge((diaphragmAt(a, u) - v) / 0.018);
  const bulge = Math.sqrt(Math.max(0, 1 - ((side - 0.5 * outer) / (0.62 * outer)) ** 2));
  return inside * above * (0.62 + 0.38 * bulge) * edge(t / 0.02 - 1);
}

/** The chest of a patient, without disease. */
export function drawChest(a: Anatomy, size: number, rng: Rng): Canvas {
  const canvas = emptyCanvas(size);
  const texture = valueNoise(size, 10, rng);
  forEachPixel(canvas, (u, v) => {
    const body = bodyAt(a, u, v);
    const spine = 0.1 * bell(u / 0.075) * (1 + 0.25 * Math.sin((v * 2 * Math.PI) / 0.17)) * edge((v + 0.95) / 0.05);
    const heart = 0.2 * heartAt(a, u, v);
    const middle = 0.14 * edge((1.15 * a.mediastinumHalfWidth - Math.abs(u)) / 0.05) * edge((v + 0.6) / 0.2);
    const belly = 0.12 * edge((v - diaphragmAt(a, u)) / 0.03);
    const stomach = a.stomachAir * bell((u - 0.42) / 0.14) * bell((v - a.domes[1] - 0.2) / 0.08);
    return body * (a.bodyThickness + spine + heart + middle + belly - stomach - 0.68 * lungAt(a, u, v));
  });
  drawRibs(canvas, a);
  drawClavicles(canvas, a);
  drawVessels(canvas, a, rng);
  forEachPixel(canvas, (_u, _v, value, i) => value * (1 + 0.06 * texture[i]!));
  return canvas;
}

export const emptyCanvas = (size: number): Canvas => ({ size, values: new Float32Array(size * size) });

/** Sets every pixel from its place and its value. */
export function forEachPixel(
  { size, values }: Canvas,
  next: (u: number, v: number, value: number, index: number) => number,
): void {
  for (let y = 0, i = 0; y < size; y++) {
    const v = ((y + 0.5) / size) * 2 - 1;
    for (let x = 0; x < size; x++, i++) values[i] = next(((x + 0.5) / size) * 2 - 1, v, values[i]!, i);
  }
}

/** Smooth noise of standard deviation about 0.5: `cells` x `cells` random values, interpolated, `[size, size]`. */
export function valueNoise(size: number, cells: number, rng: Rng): Float32Array {
  const grid = Float32Array.from({ length: (cells + 1) ** 2 }, () => rng.uniform() * 2 - 1);
  const noise = new Float32Array(size * size);
  for (let y = 0, i = 0; y < size; y++) {
    const [row, down] = cell(y, size, cells);
    for (let x = 0; x < size; x++, i++) {
      const [column, right] = cell(x, size, cells);
      const at = row * (cells + 1) + column;
      const top = grid[at]! + (grid[at + 1]! - grid[at]!) * right;
      const bottom = grid[at + cells + 1]! + (grid[at + cells + 2]! - grid[at + cells + 1]!) * right;
      noise[i] = top + (bottom - top) * down;
    }
  }
  return noise;
}

/** The cell of a pixel and how far into it, eased so that no grid shows. */
function cell(pixel: number, size: number, cells: number): readonly [number, number] {
  const position = (pixel / size) * cells;
  const index = Math.floor(position);
  const t = position - index;
  return [index, t * t * (3 - 2 * t)];
}

/** A soft step: 0 below -1.5, 1 above 1.5, slope about 1/2 at zero. Evaluated for every pixel, so without `exp`. */
export function edge(x: number): number {
  const t = Math.min(1, Math.max(0, x / 3 + 0.5));
  return t * t * (3 - 2 * t);
}
/** 1 at zero, falling like a normal density of standard deviation 1. */
export const bell = (x: number): number => (Math.abs(x) > 4 ? 0 : Math.exp(-0.5 * x * x));

function bodyAt(a: Anatomy, u: number, v: number): number {
  const shoulders = edge((v + 0.86) / 0.07);
  const half = 0.3 + 0.85 * shoulders - 0.22 * edge((v + 0.1) / 0.25) + 0.1 * (a.lungHalfWidth - 0.77);
  return edge((half - Math.abs(u)) / 0.02) * (0.72 + 0.28 * Math.sqrt(Math.max(0, 1 - (u / half) ** 2)));
}

const outerBorder = (a: Anatomy, v: number): number => {
  const t = Math.min(1, Math.max(0, (v - a.lungTop) / (0.75 - a.lungTop)));
  return a.lungHalfWidth * (1 - (1 - t) ** 2.4) ** 0.55;
};

function innerBorder(a: Anatomy, u: number, v: number): number {
  const bulge = u > 0 ? a.heartHalfWidth * 1.25 : a.heartHalfWidth * 0.55;
  const knob = u > 0 ? 0.05 * bell((v + 0.36) / 0.09) : 0;
  return a.mediastinumHalfWidth + knob + Math.max(0, bulge - a.mediastinumHalfWidth) * edge((v - 0.04) / 0.2);
}

function heartAt(a: Anatomy, u: number, v: number): number {
  const [du, dv] = [(u - 0.1) / a.heartHalfWidth, (v - 0.27) / 0.34];
  // Leans towards the patient's left, like the long axis of a heart.
  const [along, across] = [0.87 * dv + 0.4 * du, 0.92 * du - 0.35 * dv];
  return edge((1 - Math.hypot(along, across)) / 0.12);
}

function diaphragmAt(a: Anatomy, u: number): number {
  const dome = u < 0 ? a.domes[0] : a.domes[1];
  const t = (Math.abs(u) - 0.38) / (a.lungHalfWidth - 0.34);
  return dome + 0.3 * Math.abs(t) ** 2.3;
}

/** Paints a band around the curve v = `centre(u)`, brighter at its rims as the cortex of a bone is. */
function paintBone(
  canvas: Canvas,
  fromU: number,
  toU: number,
  half: number,
  contrast: number,
  centre: (u: number) => number,
): void {
  const { size, values } = canvas;
  const pixel = 2 / size;
  for (let x = 0; x < size; x++) {
    const u = (x + 0.5) * pixel - 1;
    if (u < fromU || u > toU) continue;
    const middle = centre(u);
    const first = Math.max(0, Math.floor((middle - 2 * half + 1) / pixel));
    const last = Math.min(size - 1, Math.ceil((middle + 2 * half + 1) / pixel));
    const fade = Math.min(1, (u - fromU) / 0.06, (toU - u) / 0.06);
    for (let y = first; y <= last; y++) {
      const d = Math.abs((y + 0.5) * pixel - 1 - middle) / half;
      values[y * size + x]! += contrast * fade * edge((1 - d) / 0.25) * (0.7 + 0.45 * d);
    }
  }
}

function drawRibs(canvas: Canvas, a: Anatomy): void {
  for (const side of [-1, 1]) {
    const range = (from: number, to: number): [number, number] => (side < 0 ? [-to, -from] : [from, to]);
    for (let rib = 0; rib < 11; rib++) {
      const start = a.lungTop - 0.02 + rib * a.ribSpacing;
      const reach = Math.max(0.3, outerBorder(a, start + 0.15)) + 0.02;
      const along = (u: number): number => Math.abs(u) / reach;
      paintBone(canvas, ...range(0.09, reach), 0.03, a.ribContrast, (u) => {
        const t = along(u);
        return start - 0.07 * Math.sin(Math.PI * t) + 0.2 * t ** 2.6;
      });
      if (rib < 1 || rib > 6) continue;
      // The front part of the same rib runs down towards the breastbone, fainter.
      paintBone(canvas, ...range(0.42 * reach, reach), 0.028, 0.5 * a.ribContrast, (u) => {
        const t = along(u);
        return start + 0.2 + 0.34 * (1 - t) ** 0.8;
      });
    }
  }
}

function drawClavicles(canvas: Canvas, a: Anatomy): void {
  const low = a.lungTop + 0.2;
  for (const [from, to] of [
    [-0.85, -0.08],
    [0.08, 0.85],
  ] as const) {
    paintBone(canvas, from, to, 0.032, 1.4 * a.ribContrast, (u) => {
      const t = Math.abs(u) / 0.85;
      return low - a.claviclesTilt * t - 0.03 * Math.sin(2 * Math.PI * t);
    });
  }
}

/** Arteries and veins: strokes that leave each hilum and thin out. */
function drawVessels(canvas: Canvas, a: Anatomy, rng: Rng): void {
  for (const side of [-1, 1]) {
    const hilum = [side * (a.mediastinumHalfWidth + 0.07), side < 0 ? -0.06 : -0.1] as const;
    paintBlob(canvas, ...hilum, 0.07, 0.12, 1.3 * a.vesselContrast);
    for (let vessel = 0; vessel < 13; vessel++) {
      const heading = between(rng, -0.42, 0.46) * Math.PI;
      const length = between(rng, 0.22, 0.5);
      const bend = between(rng, -0.5, 0.5);
      const strength = a.vesselContrast * between(rng, 0.4, 1);
      for (let step = 0; step < 14; step++) {
        const t = step / 14;
        const direction = heading + bend * t;
        const u = hilum[0] + side * length * t * Math.cos(direction);
        const v = hilum[1] + length * t * Math.sin(direction);
        const width = 0.02 * (1 - 0.7 * t);
        paintBlob(
          canvas,
          u,
          v,
          width,
          width,
          0.45 * strength * Math.min(1, 0.2 + 3 * t) * (1 - 0.7 * t) * lungAt(a, u, v),
        );
      }
    }
  }
}

/** Adds a soft spot: `contrast` at its centre, standard deviations `su` and `sv`. */
export function paintBlob(canvas: Canvas, u: number, v: number, su: number, sv: number, contrast: number): void {
  const { size, values } = canvas;
  const pixel = 2 / size;
  const [left, right] = [(u - 3 * su + 1) / pixel, (u + 3 * su + 1) / pixel];
  const [top, bottom] = [(v - 3 * sv + 1) / pixel, (v + 3 * sv + 1) / pixel];
  for (let y = Math.max(0, Math.floor(top)); y <= Math.min(size - 1, Math.ceil(bottom)); y++) {
    const weight = contrast * bell(((y + 0.5) * pixel - 1 - v) / sv);
    for (let x = Math.max(0, Math.floor(left)); x <= Math.min(size - 1, Math.ceil(right)); x++) {
      values[y * size + x]! += weight * bell(((x + 0.5) * pixel - 1 - u) / su);
    }
  }
}
