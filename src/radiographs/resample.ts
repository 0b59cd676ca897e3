/**
 * @file Pillow's `Image.resize(size, BILINEAR)` on 8-bit grey, bit for bit (Pillow's Resample.c): a triangle filter as wide
 * as the shrink factor, horizontal then vertical, 22-bit fixed point. It is what torchvision's `Resize` runs, so the
 * pixels are those the seed trained on; the kernels of libvips differ by a few grey levels.
 */

/** The fixed-point precision of Pillow's 8-bit path: 32 bits less 8 for the pixel and 2 for the sum. */
const PRECISION_BITS = 22;

export interface GreyImage {
  readonly width: number;
  readonly height: number;
  /** `[height, width]`. */
  readonly pixels: Uint8Array;
}

/** Resizes to `width` x `height` pixels; the aspect ratio is not kept. */
export function resizeBilinear(image: GreyImage, width: number, height: number): GreyImage {
  const wide = image.width === width ? image : resizeRows(image, width);
  return wide.height === height ? wide : resizeColumns(wide, height);
}

interface Taps {
  /** First input position of each output position. */
  readonly first: Int32Array;
  /** Number of weights of each output position. */
  readonly count: Int32Array;
  /** Fixed-point weights, `stride` apart. */
  readonly weights: Int32Array;
  readonly stride: number;
}

/** `precompute_coeffs` and `normalize_coeffs_8bpc`. */
function triangleTaps(inputSize: number, outputSize: number): Taps {
  const scale = inputSize / outputSize;
  const support = Math.max(scale, 1);
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outputSize);
  const count = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * stride);
  const row = new Float64Array(stride);
  for (let out = 0; out < outputSize; out++) {
    const center = (out + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const n = Math.min(Math.trunc(center + support + 0.5), inputSize) - start;
    let sum = 0;
    for (let i = 0; i < n; i++) {
      row[i] = Math.max(1 - Math.abs((i + start - center + 0.5) * (1 / support)), 0);
      sum += row[i]!;
    }
    for (let i = 0; i < n; i++) weights[out * stride + i] = Math.trunc(0.5 + (row[i]! / sum) * 2 ** PRECISION_BITS);
    first[out] = start;
    count[out] = n;
  }
  return { first, count, weights, stride };
}

function resizeRows({ width: inputWidth, height, pixels }: GreyImage, width: number): GreyImage {
  const { first, count, weights, stride } = triangleTaps(inputWidth, width);
  const resized = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = y * inputWidth + first[x]!;
      let sum = 1 << (PRECISION_BITS - 1);
      for (let i = 0; i < count[x]!; i++) sum += pixels[from + i]! * weights[x * stride + i]!;
      resized[y * width + x] = clip8(sum);
    }
  }
  return { width, height, pixels: resized };
}

function resizeColumns({ width, height: inputHeight, pixels }: GreyImage, height: number): GreyImage {
  const { first, count, weights, stride } = triangleTaps(inputHeight, height);
  const resized = new Uint8Array(width * height);
  const sums = new Int32Array(width);
  for (let y = 0; y < height; y++) {
    sums.fill(1 << (PRECISION_BITS - 1));
    for (let i = 0; i < count[y]!; i++) {
      const weight = weights[y * stride + i]!;
      const from = (first[y]! + i) * width;
      for (let x = 0; x < width; x++) sums[x]! += pixels[from + x]! * weight;
    }
    for (let x = 0; x < width; x++) resized[y * width + x] = clip8(sums[x]!);
  }
  return { width, height, pixels: resized };
}

const clip8 = (sum: number): number => Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
