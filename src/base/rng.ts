/**
 * @file Random numbers without a state: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011), keyed by a seed and a list of labels.
 *
 * A draw depends only on its key and its position, never on what was drawn before. So a round that is resumed in the
 * middle, or run on another number of threads, draws the same numbers. Not for secrets: those come from node:crypto.
 */
import { sha256 } from './hash.ts';

/** The two 32-bit words of a Philox key. */
export type PhiloxKey = readonly [number, number];

/** A label of a stream: what the numbers are for, which silo, which iteration. */
export type Label = string | number;

/** Philox4x32-10: 128-bit counter and 64-bit key to four 32-bit words, written to `out`. */
export function philox4x32(c0: number, c1: number, c2: number, c3: number, key: PhiloxKey, out: Uint32Array): void {
  let [k0, k1] = key;
  let [x0, x1, x2, x3] = [c0, c1, c2, c3];
  for (let round = 0; round < 10; round++) {
    const low0 = Math.imul(0xd2511f53, x0);
    const low1 = Math.imul(0xcd9e8d57, x2);
    const y0 = multiplyHigh(0xcd9e8d57, x2) ^ x1 ^ k0;
    const y2 = multiplyHigh(0xd2511f53, x0) ^ x3 ^ k1;
    [x0, x1, x2, x3] = [y0, low1, y2, low0];
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

/** The high 32 bits of the 64-bit product of two unsigned 32-bit words; no partial sum below exceeds 32 bits. */
function multiplyHigh(a: number, b: number): number {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const carry = ((middle & 0xffff) + Math.imul(aLow, bHigh)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (carry >>> 16)) | 0;
}

/** The key of the stream named by a seed and labels. */
export function streamKey(seed: number, ...labels: Label[]): PhiloxKey {
  const digest = sha256(JSON.stringify([seed, ...labels]));
  return [Number.parseInt(digest.slice(0, 8), 16), Number.parseInt(digest.slice(8, 16), 16)];
}

/** A sequence of random numbers; two with the same seed and labels give the same sequence. */
export interface Rng {
  /** The next unsigned 32-bit word. */
  uint32(): number;
  /** Uniform in [0, 1), 53 bits. */
  uniform(): number;
  /** Uniform integer in [0, below), without modulo bias; `below` at most 2^32. */
  integer(below: number): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** Shuffles in place (Fisher-Yates) and returns the array. */
  shuffle<T extends { [index: number]: unknown; length: number }>(items: T): T;
}

/** Opens the stream of random numbers that a seed and labels name. */
export function openRng(seed: number, ...labels: Label[]): Rng {
  const key = streamKey(seed, ...labels);
  const block = new Uint32Array(4);
  let counter = 0;
  let used = 4;
  const uint32 = (): number => {
    if (used === 4) {
      philox4x32(counter | 0, Math.floor(counter / 2 ** 32), 0, 0, key, block);
      counter += 1;
      used = 0;
    }
    return block[used++]!;
  };
  const uniform = (): number => ((uint32() >>> 5) * 67108864 + (uint32() >>> 6)) / 2 ** 53;
  const integer = (below: number): number => {
    if (!(Number.isInteger(below) && below >= 1 && below <= 2 ** 32)) {
      throw new RangeError(`Rng.integer: expected an integer in 1..2^32, got ${below}`);
    }
    const limit = 2 ** 32 - (2 ** 32 % below);
    // Each draw is accepted with probability above 1/2; 128 misses in a row do not happen.
    for (let draw = 0; draw < 128; draw++) {
      const word = uint32();
      if (word < limit) return word % below;
    }
    throw new Error('Rng.integer: the generator is broken');
  };
  return {
    uint32,
    uniform,
    integer,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    shuffle: (items) => {
      for (let i = items.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [items[i], items[j]] = [items[j], items[i]];
      }
      return items;
    },
  };
}
