/**
 * @file Augmentation for radiographs: each image is shown a little differently in each epoch, as another hospital might have
 * taken it. One affine warp (bilinear), one table of grey values, one 3x3 filter, noise, and a rectangle left out.
 *
 * What is drawn depends on (seed, stream, epoch, image) alone, and pixels are computed in whole numbers, so the same images
 * come out on every machine, whatever the threads. No flips: the heart is on the left.
 */
import { z } from 'zod';
import { type PhiloxKey, philox4x32 } from '../base/index.ts';

const share = z.number().min(0).max(1).default(0);

/** How much of each an image may get; all are 0 (off) by default and drawn uniformly and independently of each other. */
export const augmentationSchema = z.strictObject({
  /** Moved by up to this share of the height and width, in each direction. */
  shift: share,
  /** Rotated by up to this many degrees either way. */
  rotation: z.number().min(0).max(180).default(0),
  /** Magnified or reduced by up to this factor less 1: 0.2 draws from 1/1.2 to 1.2, uniform in the logarithm. */
  scale: share,
  /** Width to height changed by up to this factor less 1, likewise: images are squashed to squares, so this is a shortcut. */
  aspect: share,
  /** Added to all grey values: up to this share of full scale either way. */
  brightness: share,
  /** Contrast about the middle grey multiplied by up to this factor less 1, uniform in the logarithm. */
  contrast: share,
  /** Exponent of the grey values (of full scale), up to this factor less 1, uniform in the logarithm. */
  gamma: share,
  /** Blurred or sharpened, horizontally and vertically apart: [-w/2, 1 + w, -w/2] with w up to this either way; at most 0.5. */
  sharpness: z.number().min(0).max(0.5).default(0),
  /** Standard deviation of added noise, up to this share of full scale. */
  noise: share,
  /** A rectangle, its sides up to this share of the image's, is set to the middle grey. */
  cutout: share,
});
export type Augmentation = z.infer<typeof augmentationSchema>;

/** Changes of one image, drawn. */
export interface Look {
  /** Output to input pixel: x = xx u + xy v + x0, y = yx u + yy v + y0, in pixels from the centre of the first. */
  readonly matrix: readonly [xx: number, xy: number, x0: number, yx: number, yy: number, y0: number];
  /** Grey value of each grey value, [256]. */
  readonly table: Uint8Array;
  /** w of the filter [-w/2, 1 + w, -w/2], along the rows and along the columns. */
  readonly sharpness: readonly [across: number, down: number];
  /** Standard deviation, grey values. */
  readonly noiseStd: number;
  /** Set to the middle grey: x and y from..to, pixels. */
  readonly cutout: { readonly x: readonly [number, number]; readonly y: readonly [number, number] } | undefined;
}

/** Uniform draws of one image. */
const DRAWS = 16;

/** Draws the look of an image of `size` x `size` in an epoch; `key` names the seed and stream. */
export function drawLook(options: Augmentation, size: number, key: PhiloxKey, epoch: number, image: number): Look {
  const words = new Uint32Array(4);
  const draws: number[] = [];
  for (let block = 0; block < DRAWS / 4; block++) {
    philox4x32(image, epoch, block, 0, key, words);
    draws.push(...words);
  }
  // In the order of the next lines, each in its own place, so that one option does not change what another draws.
  const [dx, dy, turn, zoom, aspect, gamma, contrast, brightness, across, down, noise, ...rectangle] = draws.map(
    (word) => word / 2 ** 31 - 1,
  ) as [number, number, number, number, number, number, number, number, number, number, number, ...number[]];
  const { sharpness } = options;
  return {
    matrix: inverse(
      (options.rotation * turn * Math.PI) / 180,
      factor(options.scale, zoom) * factor(options.aspect, aspect / 2),
      factor(options.scale, zoom) * factor(options.aspect, -aspect / 2),
      [options.shift * size * dx, options.shift * size * dy],
      size,
    ),
    table: greyTable(factor(options.gamma, gamma), factor(options.contrast, contrast), options.brightness * brightness),
    sharpness: [sharpness * across, sharpness * down],
    noiseStd: (255 * options.noise * (noise + 1)) / 2,
    cutout: options.cutout === 0 ? undefined : drawRectangle(options.cutout, size, rectangle),
  };
}

/** Uniform in the logarithm between 1/(1 + most) and 1 + most, for a draw in [-1, 1). */
const factor = (most: number, draw: number): number => (1 + most) ** draw;

/** Inverse of: magnify by `wide` and `high`, rotate, move. */
function inverse(angle: number, wide: number, high: number, move: [number, number], size: number): Look['matrix'] {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [xx, xy, yx, yy] = [cos / wide, sin / wide, -sin / high, cos / high];
  const centre = (size - 1) / 2;
  const [u, v] = [centre + move[0], centre + move[1]];
  return [xx, xy, centre - xx * u - xy * v, yx, yy, centre - yx * u - yy * v];
}

/** Gamma, then contrast about the middle, then brightness. */
const greyTable = (gamma: number, contrast: number, brightness: number): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, grey) => {
    const value = ((grey / 255) ** gamma - 0.5) * contrast + 0.5 + brightness;
    return Math.round(255 * Math.min(1, Math.max(0, value)));
  });

function drawRectangle(most: number, size: number, draws: readonly number[]): Look['cutout'] {
  const range = (length: number, place: number): [number, number] => {
    const share = (most * (length + 1)) / 2;
    const from = ((1 - share) * (place + 1)) / 2;
    return [Math.round(from * size), Math.round((from + share) * size)];
  };
  return { x: range(draws[0]!, draws[2]!), y: range(draws[1]!, draws[3]!) };
}

/** An augmenter keeps its scratch arrays: one image at a time. */
export type Augmenter = (image: Uint8Array, epoch: number, index: number, out: Uint8Array) => void;

/** Augments images [size, size] as the options say; `key` names the seed and stream, `index` the image. */
export function openAugmenter(options: Augmentation, size: number, key: PhiloxKey): Augmenter {
  const padded = new Uint8Array((size + 2) ** 2);
  const rows = new Int32Array(size * size);
  return (image, epoch, index, out) => {
    const look = drawLook(options, size, key, epoch, index);
    for (let y = 0; y < size; y++) {
      padded.set(image.subarray(y * size, (y + 1) * size), (y + 1) * (size + 2) + 1);
    }
    warp(padded, size, look, out);
    if (options.sharpness > 0) filter(out, size, look.sharpness, rows);
    if (options.noise > 0) addNoise(out, look.noiseStd, key, epoch, index);
    const { cutout } = look;
    for (let y = cutout?.y[0] ?? 0; y < (cutout?.y[1] ?? 0); y++) {
      out.fill(128, y * size + cutout!.x[0], y * size + cutout!.x[1]);
    }
  };
}

/**
 * Bilinear, positions to 1/256 of a pixel; what comes from outside of the image is black. `padded` is the image with one black
 * pixel around it, [size + 2, size + 2].
 */
function warp(padded: Uint8Array, size: number, { matrix, table }: Look, out: Uint8Array): void {
  const [xx, xy, x0, yx, yy, y0] = matrix;
  const stride = size + 2;
  const fixed = (value: number): number => Math.round(value * 65536) | 0;
  const [stepX, stepY] = [fixed(xx), fixed(yx)];
  const black = table[0]!;
  for (let v = 0, at = 0; v < size; v++) {
    // Half of 1/256 more, so that cutting off rounds.
    let x = fixed(xy * v + x0 + 1 + 1 / 512);
    let y = fixed(yy * v + y0 + 1 + 1 / 512);
    for (let u = 0; u < size; u++, at++, x = (x + stepX) | 0, y = (y + stepY) | 0) {
      const left = x >> 16;
      const top = y >> 16;
      if (left < 0 || top < 0 || left > size || top > size) {
        out[at] = black;
        continue;
      }
      const right = (x >> 8) & 255;
      const below = (y >> 8) & 255;
      const from = top * stride + left;
      const upper = padded[from]! * (256 - right) + padded[from + 1]! * right;
      const lower = padded[from + stride]! * (256 - right) + padded[from + stride + 1]! * right;
      out[at] = table[(upper * (256 - below) + lower * below + 32768) >> 16]!;
    }
  }
}

/** [-w/2, 1 + w, -w/2] along the rows, then along the columns, weights to 1/512; edges are repeated. */
function filter(pixels: Uint8Array, size: number, [across, down]: Look['sharpness'], rows: Int32Array): void {
  const a = Math.round(-across * 256);
  const b = Math.round(-down * 256);
  const [middleA, middleB] = [512 - 2 * a, 512 - 2 * b];
  for (let y = 0, at = 0; y < size; y++) {
    let left = pixels[at]!;
    let middle = left;
    for (let x = 0; x < size; x++, at++) {
      const right = x + 1 < size ? pixels[at + 1]! : middle;
      rows[at] = middleA * middle + a * (left + right);
      left = middle;
      middle = right;
    }
  }
  for (let y = 0, at = 0; y < size; y++) {
    const above = y > 0 ? -size : 0;
    const below = y + 1 < size ? size : 0;
    for (let x = 0; x < size; x++, at++) {
      const sum = middleB * rows[at]! + b * (rows[at + above]! + rows[at + below]!);
      const value = (sum + 131072) >> 18;
      pixels[at] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
  }
}

/** Noise of this standard deviation: the sum of four uniform bytes, nearly normal. */
function addNoise(pixels: Uint8Array, std: number, key: PhiloxKey, epoch: number, index: number): void {
  const words = new Uint32Array(4);
  // The sum of 4 bytes, uniform in 0..255, has mean 510 and variance 4 (256^2 - 1) / 12.
  const scale = Math.round((65536 * std) / Math.sqrt((256 ** 2 - 1) / 3));
  for (let at = 0; at < pixels.length; at += 4) {
    philox4x32(index, epoch, at >> 2, 1, key, words);
    for (let i = 0; i < 4 && at + i < pixels.length; i++) {
      const word = words[i]!;
      const sum = (word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24);
      const value = pixels[at + i]! + (((sum - 510) * scale + 32768) >> 16);
      pixels[at + i] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
  }
}
