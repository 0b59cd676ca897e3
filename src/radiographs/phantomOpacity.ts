/**
 * @file Synthetic pneumonia: air spaces filled with fluid, so a part of the lung weakens the beam like soft tissue. Two
 * kinds: lobar (one large area with soft edges) and patchy (several small ones on both sides). And what only looks like
 * it, in healthy and ill alike, so that a bright spot alone is no proof.
 */
import type { Rng } from '../base/index.ts';
import {
  type Anatomy,
  bell,
  type Canvas,
  emptyCanvas,
  forEachPixel,
  lungAt,
  paintBlob,
  valueNoise,
} from './phantomChest.ts';

export type OpacityKind = 'lobar' | 'patchy';

/** Where one patient's disease sits; the same in all images of the patient. */
export interface Opacity {
  readonly spots: readonly { readonly u: number; readonly v: number; readonly su: number; readonly sv: number }[];
  /** Attenuation added where the lung is deepest. */
  readonly contrast: number;
}

const between = (rng: Rng, low: number, high: number): number => low + (high - low) * rng.uniform();
const side = (rng: Rng): number => (rng.uniform() < 0.55 ? -1 : 1);

/** Draws the disease of a patient. `lowerLobes` is how often it sits low, 0 to 1. */
export function drawOpacity(kind: OpacityKind, lowerLobes: number, rng: Rng): Opacity {
  const height = (): number => (rng.uniform() < lowerLobes ? between(rng, 0.02, 0.34) : between(rng, -0.55, -0.2));
  switch (kind) {
    case 'lobar': {
      const [u, v] = [side(rng) * between(rng, 0.36, 0.58), height()];
      const size = between(rng, 0.1, 0.22);
      const [su, sv] = [size * between(rng, 0.9, 1.4), size];
      return {
        spots: [
          { u, v, su, sv },
          { u: u + between(rng, -0.12, 0.12), v: v + between(rng, -0.1, 0.1), su: 0.7 * su, sv: 0.7 * sv },
        ],
        contrast: between(rng, 0.52, 0.88),
      };
    }
    case 'patchy': {
      const spots = Array.from({ length: 4 + rng.integer(6) }, () => {
        const size = between(rng, 0.055, 0.11);
        return { u: side(rng) * between(rng, 0.28, 0.66), v: height() + between(rng, -0.12, 0.12), su: size, sv: size };
      });
      return { spots, contrast: between(rng, 0.52, 0.88) };
    }
  }
}

/** Adds a patient's disease to the chest. */
export function paintOpacity(chest: Canvas, anatomy: Anatomy, { spots, contrast }: Opacity, rng: Rng): void {
  const filled = emptyCanvas(chest.size);
  for (const { u, v, su, sv } of spots) paintBlob(filled, u, v, su, sv, 1);
  const texture = valueNoise(chest.size, 24, rng);
  forEachPixel(chest, (u, v, value, i) => {
    const share = 1 - Math.exp(-filled.values[i]!);
    return share < 0.01 ? value : value + contrast * share * lungAt(anatomy, u, v) * (1.3 + 0.5 * texture[i]!);
  });
}

/** Adds what is seen in healthy people too: breast or muscle shadows, nipples, a cable. */
export function paintDistractors(chest: Canvas, rng: Rng): void {
  if (rng.uniform() < 0.3) {
    const contrast = between(rng, 0.04, 0.1);
    const [u, v] = [between(rng, 0.4, 0.5), between(rng, 0.2, 0.4)];
    for (const s of [-1, 1]) paintBlob(chest, s * u, v, 0.24, 0.17, contrast);
  }
  if (rng.uniform() < 0.25)
    paintBlob(chest, side(rng) * between(rng, 0.38, 0.5), between(rng, 0.15, 0.3), 0.03, 0.03, 0.12);
  if (rng.uniform() < 0.2) {
    const [slope, offset] = [between(rng, -0.6, 0.6), between(rng, -0.5, 0.5)];
    forEachPixel(chest, (u, v, value) => value + 0.14 * bell((u - offset - slope * v - 0.25 * v * v) / 0.012));
  }
}
