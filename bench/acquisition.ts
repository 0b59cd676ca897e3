/**
 * @file How an image was taken, as far as its pixels show it without regard to what it shows: width against height,
 * sharpness, grey values. And an image as another acquisition would have shown it.
 *
 * In the Kaggle set these three alone tell NORMAL from PNEUMONIA (normal images are larger, less squashed, sharper), so a
 * network may learn them in place of the disease. Both are estimates: disease changes contrast and edges a little too.
 */

/** What an acquisition does to any picture. */
export interface Acquisition {
  /** Standard deviation of the horizontal differences over that of the vertical ones: grows as the width is squashed. */
  readonly aspect: number;
  /** Standard deviation of the Laplacian over that of the pixels. */
  readonly sharpness: number;
  /** Grey values that 2, 50 and 98 % of the pixels do not exceed. */
  readonly window: readonly [black: number, middle: number, white: number];
}

/** Measures an image [size, size]. */
export function acquisitionOf(image: Uint8Array, size: number): Acquisition {
  let [across, down, laplacian, sum, squares] = [0, 0, 0, 0, 0];
  for (let y = 1; y < size - 1; y++) {
    for (let x = 1; x < size - 1; x++) {
      const at = y * size + x;
      const grey = image[at]!;
      const [left, right, above, below] = [image[at - 1]!, image[at + 1]!, image[at - size]!, image[at + size]!];
      across += (right - left) ** 2;
      down += (below - above) ** 2;
      laplacian += (4 * grey - left - right - above - below) ** 2;
      sum += grey;
      squares += grey * grey;
    }
  }
  const pixels = (size - 2) ** 2;
  const variance = Math.max(squares / pixels - (sum / pixels) ** 2, 1e-6);
  return {
    aspect: Math.sqrt((across + 1) / (down + 1)),
    sharpness: Math.sqrt(laplacian / pixels / variance),
    window: windowOf(image),
  };
}

function windowOf(image: Uint8Array): [number, number, number] {
  const counts = new Float64Array(256);
  for (const grey of image) counts[grey]! += 1;
  const quantile = (share: number): number => {
    let below = 0;
    return counts.findIndex((count) => {
      below += count;
      return below >= share * image.length;
    });
  };
  return [quantile(0.02), quantile(0.5), quantile(0.98)];
}

/** Factors beyond these would be more caricature than acquisition. */
const MOST_STRETCH = 1.5;

/** `image` [size, size] with the reference's aspect, sharpness and distribution of grey values, or only some of them. */
export function acquiredAs(
  image: Uint8Array,
  size: number,
  reference: Acquisition,
  { aspect = true, sharpness = true, grey = true } = {},
): Uint8Array {
  let result = image;
  if (aspect) {
    // Less than the whole ratio: what is cut off at the sides are the edges of the body, which count in the aspect too.
    const wide = (acquisitionOf(image, size).aspect / reference.aspect) ** 0.7;
    result = stretch(image, size, Math.min(MOST_STRETCH, Math.max(1 / MOST_STRETCH, wide)));
  }
  if (sharpness) result = withSharpness(result, size, reference.sharpness);
  if (grey) result = withWindow(result, reference.window);
  return result;
}

/** Magnifies about the centre, bilinear; what lies outside is black. */
export function magnify(image: Uint8Array, size: number, wide: number, high: number, degrees = 0): Uint8Array {
  if (wide === 1 && high === 1 && degrees === 0) return image;
  const out = new Uint8Array(size * size);
  const centre = (size - 1) / 2;
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  for (let v = 0; v < size; v++) {
    for (let u = 0; u < size; u++) {
      const x = centre + (cos * (u - centre) + sin * (v - centre)) / wide;
      const y = centre + (cos * (v - centre) - sin * (u - centre)) / high;
      const [left, top] = [Math.floor(x), Math.floor(y)];
      if (x < 0 || y < 0 || x > size - 1 || y > size - 1) continue;
      const [right, below] = [x - left, y - top];
      const at = top * size + left;
      const next = left < size - 1 ? 1 : 0;
      const under = top < size - 1 ? size : 0;
      const upper = image[at]! * (1 - right) + image[at + next]! * right;
      const lower = image[at + under]! * (1 - right) + image[at + under + next]! * right;
      out[v * size + u] = upper * (1 - below) + lower * below + 0.5;
    }
  }
  return out;
}

/** Each pixel less `amount` times its difference from the mean of its neighbourhood (twice 3x3 binomial): below 0 sharpens. */
export function blend(image: Uint8Array, blurred: Float64Array, amount: number): Uint8Array {
  return Uint8Array.from(image, (grey, i) => Math.min(255, Math.max(0, grey + amount * (blurred[i]! - grey) + 0.5)));
}

/** Gaussian blur, standard deviations in pixels; edges are repeated. */
export function gaussian(image: ArrayLike<number>, size: number, std: number): Float64Array {
  const radius = Math.ceil(3 * std);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * std ** 2)));
  const total = weights.reduce((a, b) => a + b);
  let pixels = Float64Array.from(image);
  for (const [step, row] of [
    [1, size],
    [size, 1],
  ] as const) {
    const out = new Float64Array(size * size);
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) {
        let sum = 0;
        const inside = b >= radius && b + radius < size;
        for (let i = -radius; i <= radius; i++) {
          const from = inside ? b + i : Math.min(size - 1, Math.max(0, b + i));
          sum += weights[i + radius]! * pixels[a * row + from * step]!;
        }
        out[a * row + b * step] = sum / total;
      }
    }
    pixels = out;
  }
  return pixels;
}

/** Blurs or sharpens so that the sharpness is the wanted one, as nearly as that goes. */
function withSharpness(image: Uint8Array, size: number, wanted: number): Uint8Array {
  const blurred = gaussian(image, size, 1.2);
  // Both variances of image + amount (blurred - image) are quadratic in the amount: their three sums are enough.
  const [laplacian, grey] = [
    [0, 0, 0],
    [0, 0, 0],
  ] as [number[], number[]];
  const [sum, blurredSum] = [image.reduce((a, b) => a + b, 0), blurred.reduce((a, b) => a + b, 0)];
  const [mean, change] = [sum / image.length, (blurredSum - sum) / image.length];
  const add = (sums: number[], own: number, difference: number): void => {
    sums[0]! += own * own;
    sums[1]! += own * difference;
    sums[2]! += difference * difference;
  };
  const curvature = (pixels: ArrayLike<number>, at: number): number =>
    4 * pixels[at]! - pixels[at - 1]! - pixels[at + 1]! - pixels[at - size]! - pixels[at + size]!;
  for (let y = 1; y < size - 1; y++) {
    for (let at = y * size + 1; at < (y + 1) * size - 1; at++) {
      const own = curvature(image, at);
      add(laplacian, own, curvature(blurred, at) - own);
      add(grey, image[at]! - mean, blurred[at]! - image[at]! - change);
    }
  }
  const at = ([a, b, c]: number[], amount: number): number => a! + 2 * amount * b! + amount * amount * c!;
  let [low, high] = [-3, 1];
  for (let step = 0; step < 20; step++) {
    const middle = (low + high) / 2;
    if (at(laplacian, middle) > wanted ** 2 * at(grey, middle)) low = middle;
    else high = middle;
  }
  return blend(image, blurred, (low + high) / 2);
}

/** Black, white and gamma so that the three grey values of the window are the wanted ones. */
function withWindow(image: Uint8Array, [black, middle, white]: Acquisition['window']): Uint8Array {
  const [ownBlack, ownMiddle, ownWhite] = windowOf(image);
  const share = (low: number, value: number, high: number): number =>
    Math.min(0.95, Math.max(0.05, (value - low) / Math.max(1, high - low)));
  const gamma = Math.log(share(black, middle, white)) / Math.log(share(ownBlack, ownMiddle, ownWhite));
  const table = Uint8Array.from({ length: 256 }, (_, grey) => {
    const value = Math.max(0, (grey - ownBlack) / Math.max(1, ownWhite - ownBlack));
    return Math.min(255, Math.max(0, black + (white - black) * value ** gamma + 0.5));
  });
  return image.map((grey) => table[grey]!);
}

/** Only ever magnified: the part of the picture that the other shape of film would not have held is cut off. */
const stretch = (image: Uint8Array, size: number, wide: number): Uint8Array =>
  magnify(image, size, Math.max(1, wide), Math.max(1, 1 / wide));
