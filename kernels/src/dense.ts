/**
 * @file The big dense layer (99.6 % of the parameters): forward, and backward with its update in one pass over memory.
 *
 * Its input x [B, K] is the last conv's activations, most of them zero after ReLU and dropout; all three products skip
 * the zeros. W is kept [N/32][K][32], so that a run of K for 32 outputs is contiguous. Each call covers k in [from, to).
 */
import { accumulate32, ENTRY, madd, sumLanes } from './simd';
import { isPlain, MOMENTUM, MU, RATE, update4, updateRange } from './update';

/** k handled together: 128 * 32 floats of W stay in the first-level cache. */
const FORWARD_RUN: usize = 128;
/** k handled together in the backward pass. */
const BACKWARD_RUN: usize = 32;

/**
 * part [B, N] = x[:, from..to) W[from..to), without bias. xStride: bytes between rows of x. lists: scratch of
 * B * 128 entries and B * 4 bytes.
 */
export function denseForward(
  x: usize, xStride: usize, B: i32, from: i32, to: i32, w: usize, K: i32, N: i32, part: usize, lists: usize,
): void {
  memory.fill(part, 0, <usize>(B * N) << 2);
  const capacity = FORWARD_RUN * ENTRY;
  const ends = lists + <usize>B * capacity;
  for (let k = <usize>from; k < <usize>to; k += FORWARD_RUN) {
    const count = min(FORWARD_RUN, <usize>to - k);
    for (let b: usize = 0; b < <usize>B; b++) {
      let end = lists + b * capacity;
      const row = x + b * xStride + (k << 2);
      for (let i: usize = 0; i < count; i++) {
        const value = load<f32>(row + (i << 2));
        store<u32>(end, <u32>(i << 7));
        store<f32>(end, value, 4);
        end += value == 0 ? 0 : ENTRY;
      }
      store<u32>(ends + (b << 2), <u32>end);
    }
    for (let block: usize = 0; block < <usize>(N >> 5); block++) {
      const source = w + ((block * <usize>K + k) << 7);
      let target = part + (block << 7);
      for (let b: usize = 0; b < <usize>B; b++) {
        accumulate32(target, source, lists + b * capacity, <usize>load<u32>(ends + (b << 2)));
        target += <usize>N << 2;
      }
    }
  }
}

/** h [N] = max(0, bias + sum of `chunks` partial rows, in order, `stride` bytes apart). */
export function denseReduce(part: usize, stride: usize, chunks: i32, bias: usize, h: usize, N: i32): void {
  for (let n: usize = 0; n < <usize>N << 2; n += 16) {
    let sum = f32x4.splat(0);
    let p = part + n;
    for (let chunk = 0; chunk < chunks; chunk++, p += stride) sum = f32x4.add(sum, v128.load(p));
    v128.store(h + n, f32x4.max(f32x4.add(sum, v128.load(bias + n)), f32x4.splat(0)));
  }
}

/**
 * For k in [from, to): dx[b, k] = gz[b] . W[k] where x[b, k] is not zero (elsewhere dx is left as it was: nothing reads
 * it); then dW[k] = sum over b of x[b, k] gz[b], and the optimiser's step (update.ts). gz is [N/32][B][32].
 * lists: scratch of 32 * B entries, 32 * B * 16 bytes, 32 * 4 bytes and 32 * 4 bytes.
 */
export function denseBackward(
  x: usize, xStride: usize, dx: usize, B: i32, from: i32, to: i32, gz: usize, w: usize, velocity: usize, second: usize,
  anchor: usize, K: i32, N: i32, settings: usize, lists: usize,
): void {
  const capacity = <usize>B * ENTRY;
  const sums = lists + BACKWARD_RUN * capacity;
  const ends = sums + BACKWARD_RUN * capacity * 2;
  const gradients = ends + BACKWARD_RUN * 4;
  for (let k = <usize>from; k < <usize>to; k += BACKWARD_RUN) {
    const count = min(BACKWARD_RUN, <usize>to - k);
    memory.fill(sums, 0, count * capacity * 2);
    for (let i: usize = 0; i < count; i++) {
      let end = lists + i * capacity;
      let at = x + ((k + i) << 2);
      for (let b: usize = 0; b < <usize>B; b++, at += xStride) {
        const value = load<f32>(at);
        store<u32>(end, <u32>(b << 7));
        store<f32>(end, value, 4);
        end += value == 0 ? 0 : ENTRY;
      }
      store<u32>(ends + (i << 2), <u32>end);
    }
    for (let block: usize = 0; block < <usize>(N >> 5); block++) {
      const g = gz + ((block * <usize>B) << 7);
      for (let i: usize = 0; i < count; i++) {
        const at = (block * <usize>K + k + i) << 7;
        const list = lists + i * capacity, end = <usize>load<u32>(ends + (i << 2));
        addProducts(w + at, g, list, end, sums + i * capacity * 2);
        update32(
          w + at, velocity + at, second == 0 ? 0 : second + at, anchor == 0 ? 0 : anchor + at, g, list, end, settings,
          gradients,
        );
      }
    }
    for (let i: usize = 0; i < count; i++) {
      let sum = sums + i * capacity * 2;
      const end = <usize>load<u32>(ends + (i << 2));
      for (let entry = lists + i * capacity; entry < end; entry += ENTRY, sum += 16) {
        const b = <usize>load<u32>(entry) >> 7;
        store<f32>(dx + b * xStride + ((k + i) << 2), sumLanes(v128.load(sum)));
      }
    }
  }
}

/**
 * From h [B, N] and the gradient g [B, N] of the hidden activations after their ReLU: gz [N/32][B][32] before it, and its sums db [N].
 * Images of h and g lie hStride and gStride bytes apart.
 */
export function denseHiddenGradient(
  h: usize, hStride: usize, g: usize, gStride: usize, B: i32, N: i32, gz: usize, db: usize,
): void {
  const zero = f32x4.splat(0);
  for (let n: usize = 0; n < <usize>N; n += 4) {
    let sum = zero;
    for (let b: usize = 0; b < <usize>B; b++) {
      const value = v128.and(v128.load(g + b * gStride + (n << 2)), f32x4.gt(v128.load(h + b * hStride + (n << 2)), zero));
      v128.store(gz + (((n >> 5) * <usize>B + b) << 7) + ((n & 31) << 2), value);
      sum = f32x4.add(sum, value);
    }
    v128.store(db + (n << 2), sum);
  }
}

/** For each entry of the list, 4 lane sums += w[0..31] * g[entry][0..31]. */
// @ts-ignore: decorator
@inline
function addProducts(w: usize, g: usize, list: usize, end: usize, sums: usize): void {
  const a = v128.load(w, 0), b = v128.load(w, 16), c = v128.load(w, 32), d = v128.load(w, 48);
  const e = v128.load(w, 64), f = v128.load(w, 80), h = v128.load(w, 96), i = v128.load(w, 112);
  for (let entry = list; entry < end; entry += ENTRY, sums += 16) {
    const s = g + <usize>load<u32>(entry);
    let even = madd(a, v128.load(s, 0), v128.load(sums));
    let odd = f32x4.mul(b, v128.load(s, 16));
    even = madd(c, v128.load(s, 32), even);
    odd = madd(d, v128.load(s, 48), odd);
    even = madd(e, v128.load(s, 64), even);
    odd = madd(f, v128.load(s, 80), odd);
    even = madd(h, v128.load(s, 96), even);
    odd = madd(i, v128.load(s, 112), odd);
    v128.store(sums, f32x4.add(even, odd));
  }
}

// @ts-ignore: decorator
@inline
function update32(
  w: usize, velocity: usize, second: usize, anchor: usize, g: usize, list: usize, end: usize, settings: usize, sums: usize,
): void {
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a, h = a, i = a;
  for (let entry = list; entry < end; entry += ENTRY) {
    const s = g + <usize>load<u32>(entry);
    const factor = v128.load32_splat(entry, 4);
    a = madd(factor, v128.load(s, 0), a);
    b = madd(factor, v128.load(s, 16), b);
    c = madd(factor, v128.load(s, 32), c);
    d = madd(factor, v128.load(s, 48), d);
    e = madd(factor, v128.load(s, 64), e);
    f = madd(factor, v128.load(s, 80), f);
    h = madd(factor, v128.load(s, 96), h);
    i = madd(factor, v128.load(s, 112), i);
  }
  if (isPlain(settings)) {
    const rate = v128.load32_splat(settings, RATE), momentum = v128.load32_splat(settings, MOMENTUM);
    const mu = v128.load32_splat(settings, MU);
    update4(w, velocity, anchor, a, rate, momentum, mu, 0);
    update4(w, velocity, anchor, b, rate, momentum, mu, 16);
    update4(w, velocity, anchor, c, rate, momentum, mu, 32);
    update4(w, velocity, anchor, d, rate, momentum, mu, 48);
    update4(w, velocity, anchor, e, rate, momentum, mu, 64);
    update4(w, velocity, anchor, f, rate, momentum, mu, 80);
    update4(w, velocity, anchor, h, rate, momentum, mu, 96);
    update4(w, velocity, anchor, i, rate, momentum, mu, 112);
    return;
  }
  v128.store(sums, a, 0); v128.store(sums, b, 16); v128.store(sums, c, 32); v128.store(sums, d, 48);
  v128.store(sums, e, 64); v128.store(sums, f, 80); v128.store(sums, h, 96); v128.store(sums, i, 112);
  updateRange(w, velocity, second, anchor, sums, 128, settings);
}
