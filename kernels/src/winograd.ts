/**
 * @file Conv 3x3 + bias + max-pool 2x2 + ReLU by Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016): 16 multiplications
 * per 2x2 outputs and channel pair instead of 36. The output tile is the pool's window, so it is pooled in registers.
 *
 * d is a 4x4 patch of x, g a 3x3 kernel: V = B'dB, U = GgG', Y = A'(sum over channels of U V)A. F(2x2) only adds and
 * halves, and where a patch is flat all four outputs are the same bits: ties of the max-pool stay ties.
 */
import { firstOf } from './forward';
import { madd } from './simd';

/** Tiles computed together by the inner loop: 6 x 8 outputs are 12 registers of sums. */
const GROUP = 6;
/** Tiles transformed together: their V stays in the second-level cache beside U. */
const TILES = 24;

/** U [CO/8][16][CI][8] from w [CO][3][3][CI], for output channels [from, to), multiples of 8. */
export function winogradWeights(w: usize, u: usize, CI: i32, from: i32, to: i32): void {
  const tap = <usize>CI << 2;
  for (let c = <usize>from; c < <usize>to; c++) {
    for (let i: usize = 0; i < <usize>CI; i++) {
      const g = w + c * 9 * tap + (i << 2);
      const out = u + ((c >> 3) * 16 * <usize>CI + i) * 32 + ((c & 7) << 2);
      const step = <usize>CI * 32;
      // Rows of Gg, one kernel column after the other, then of (Gg)G'.
      for (let r: usize = 0; r < 4; r++) {
        const a = transformed(g, tap * 3, r), b = transformed(g + tap, tap * 3, r), c2 = transformed(g + tap * 2, tap * 3, r);
        const at = out + r * 4 * step;
        store<f32>(at, a);
        store<f32>(at + step, <f32>0.5 * (a + b + c2));
        store<f32>(at + step * 2, <f32>0.5 * (a - b + c2));
        store<f32>(at + step * 3, c2);
      }
    }
  }
}

/** Element r of G (g0, g1, g2), `stride` bytes apart. */
// @ts-ignore: decorator
@inline
function transformed(g: usize, stride: usize, r: usize): f32 {
  const a = load<f32>(g), b = load<f32>(g + stride), c = load<f32>(g + stride * 2);
  return r == 0 ? a : r == 1 ? <f32>0.5 * (a + b + c) : r == 2 ? <f32>0.5 * (a - b + c) : c;
}

/**
 * As convPoolRelu, from u of winogradWeights. scratch: TILES * 16 * CI floats, then GROUP * 16 * 8.
 */
export function winogradPoolRelu(
  x: usize, u: usize, bias: usize, out: usize, outRow: usize, arg: usize, H: i32, CI: i32, CO: i32, scratch: usize,
): void {
  const half = H >> 1;
  const tiles = half * half;
  const sums = scratch + <usize>(TILES * 16 * CI) * 4;
  const groupBytes = <usize>(GROUP * 16 * CI) << 2;
  for (let first = 0; first < tiles; first += TILES) {
    const count = min(TILES, tiles - first);
    for (let t = 0; t < count; t++) {
      const y = (first + t) / half, xx = (first + t) % half;
      transformInput(x + (<usize>((2 * y * (H + 2) + 2 * xx) * CI) << 2), <usize>(H + 2) * CI << 2, CI,
        scratch + <usize>(t / GROUP) * groupBytes + (<usize>((t % GROUP) * CI) << 2));
    }
    for (let c = 0; c < CO; c += 8) {
      const uc = u + (<usize>(c * 16 * CI) << 2);
      const bias0 = v128.load(bias + (<usize>c << 2)), bias1 = v128.load(bias + (<usize>c << 2), 16);
      let v = scratch;
      for (let t = 0; t < count; t += GROUP, v += groupBytes) {
        multiply(v, uc, sums, CI);
        const last = min(t + GROUP, count);
        let m = sums;
        for (let tile = t; tile < last; tile++, m += 32) {
          const y = (first + tile) / half, xx = (first + tile) % half;
          const o = out + <usize>y * outRow + (<usize>(xx * CO + c) << 2);
          const k0 = outputs(m, bias0, o), k1 = outputs(m + 16, bias1, o + 16);
          const k = i16x8.narrow_i32x4_s(k0, k1);
          v128.store64_lane(arg + <usize>((first + tile) * CO + c), i8x16.narrow_i16x8_s(k, k), 0);
        }
      }
    }
  }
}

/**
 * out = conv of x (+ out where `add`) without a pool: x [H, W, CI] inside a border of zeros, out [H, W, CO], rows xRow and outRow bytes
 * apart; bias 0: none. CI a multiple of 4, CO of 8. scratch as in winogradPoolRelu. Where H or W is odd it reads past the border, but
 * uses nothing of it.
 */
export function winogradConv(
  x: usize, xRow: usize, u: usize, bias: usize, out: usize, outRow: usize, H: i32, W: i32, CI: i32, CO: i32,
  scratch: usize, add: i32,
): void {
  const across = (W + 1) >> 1;
  const tiles = ((H + 1) >> 1) * across;
  const sums = scratch + <usize>(TILES * 16 * CI) * 4;
  const groupBytes = <usize>(GROUP * 16 * CI) << 2;
  const pixel = <usize>CO << 2;
  const corner = x - xRow - (<usize>CI << 2);
  for (let first = 0; first < tiles; first += TILES) {
    const count = min(TILES, tiles - first);
    for (let t = 0; t < count; t++) {
      const y = (first + t) / across, xx = (first + t) % across;
      transformInput(corner + <usize>(2 * y) * xRow + (<usize>(2 * xx * CI) << 2), xRow, CI,
        scratch + <usize>(t / GROUP) * groupBytes + (<usize>((t % GROUP) * CI) << 2));
    }
    for (let c = 0; c < CO; c += 8) {
      const uc = u + (<usize>(c * 16 * CI) << 2);
      let v = scratch;
      for (let t = 0; t < count; t += GROUP, v += groupBytes) {
        multiply(v, uc, sums, CI);
        const last = min(t + GROUP, count);
        let m = sums;
        for (let tile = t; tile < last; tile++, m += 32) {
          const y = 2 * ((first + tile) / across), xx = 2 * ((first + tile) % across);
          const o = out + <usize>y * outRow + <usize>xx * pixel + (<usize>c << 2);
          const right: usize = xx + 1 < W ? pixel : 0, below: usize = y + 1 < H ? outRow : 0;
          windowOutputs(m, bias == 0 ? 0 : bias + (<usize>c << 2), o, right, below, add);
          windowOutputs(m + 16, bias == 0 ? 0 : bias + (<usize>c << 2) + 16, o + 16, right, below, add);
        }
      }
    }
  }
}

/** The four outputs of one tile and 4 channels; right and below: bytes to the next column and row, 0 outside the image. */
// @ts-ignore: decorator
@inline
function windowOutputs(m: usize, bias: usize, o: usize, right: usize, below: usize, add: i32): void {
  const b = bias == 0 ? f32x4.splat(0) : v128.load(bias);
  const top0 = f32x4.add(f32x4.add(v128.load(m, 0), v128.load(m, 192 * 4)), v128.load(m, 192 * 8));
  const top1 = f32x4.add(f32x4.add(v128.load(m, 192), v128.load(m, 192 * 5)), v128.load(m, 192 * 9));
  const top2 = f32x4.add(f32x4.add(v128.load(m, 192 * 2), v128.load(m, 192 * 6)), v128.load(m, 192 * 10));
  const top3 = f32x4.add(f32x4.add(v128.load(m, 192 * 3), v128.load(m, 192 * 7)), v128.load(m, 192 * 11));
  storeOutput(o, f32x4.add(f32x4.add(f32x4.add(top0, top1), top2), b), add);
  if (right != 0) storeOutput(o + right, f32x4.add(f32x4.sub(f32x4.sub(top1, top2), top3), b), add);
  if (below == 0) return;
  const low0 = f32x4.sub(f32x4.sub(v128.load(m, 192 * 4), v128.load(m, 192 * 8)), v128.load(m, 192 * 12));
  const low1 = f32x4.sub(f32x4.sub(v128.load(m, 192 * 5), v128.load(m, 192 * 9)), v128.load(m, 192 * 13));
  const low2 = f32x4.sub(f32x4.sub(v128.load(m, 192 * 6), v128.load(m, 192 * 10)), v128.load(m, 192 * 14));
  const low3 = f32x4.sub(f32x4.sub(v128.load(m, 192 * 7), v128.load(m, 192 * 11)), v128.load(m, 192 * 15));
  storeOutput(o + below, f32x4.add(f32x4.add(f32x4.add(low0, low1), low2), b), add);
  if (right != 0) storeOutput(o + below + right, f32x4.add(f32x4.sub(f32x4.sub(low1, low2), low3), b), add);
}

// @ts-ignore: decorator
@inline
function storeOutput(o: usize, value: v128, add: i32): void {
  v128.store(o, add ? f32x4.add(v128.load(o), value) : value);
}

/** turned [inputs][3][3][outputs] from w [outputs][3][3][inputs], the window turned by half a circle, for inputs [from, to). */
export function turnWeights(w: usize, turned: usize, inputs: i32, outputs: i32, from: i32, to: i32): void {
  for (let i = from; i < to; i++) {
    for (let tap = 0; tap < 9; tap++) {
      const target = turned + (<usize>((i * 9 + tap) * outputs) << 2);
      const source = w + (<usize>((8 - tap) * inputs + i) << 2);
      for (let o = 0; o < outputs; o++) store<f32>(target + (<usize>o << 2), load<f32>(source + (<usize>(o * 9 * inputs) << 2)));
    }
  }
}

/** V of one tile: v [16][GROUP][CI], at this tile's place in the group. */
// @ts-ignore: decorator
@inline
function transformInput(d: usize, row: usize, CI: i32, v: usize): void {
  const pixel = <usize>CI << 2;
  const step = pixel * GROUP;
  for (let i: usize = 0; i < pixel; i += 16) {
    const p = d + i;
    const a0 = v128.load(p), a1 = v128.load(p + pixel), a2 = v128.load(p + pixel * 2), a3 = v128.load(p + pixel * 3);
    const q = p + row;
    const b0 = v128.load(q), b1 = v128.load(q + pixel), b2 = v128.load(q + pixel * 2), b3 = v128.load(q + pixel * 3);
    const r = q + row;
    const c0 = v128.load(r), c1 = v128.load(r + pixel), c2 = v128.load(r + pixel * 2), c3 = v128.load(r + pixel * 3);
    const s = r + row;
    const d0 = v128.load(s), d1 = v128.load(s + pixel), d2 = v128.load(s + pixel * 2), d3 = v128.load(s + pixel * 3);
    const o = v + i;
    transformRow(o, step, f32x4.sub(a0, c0), f32x4.sub(a1, c1), f32x4.sub(a2, c2), f32x4.sub(a3, c3));
    transformRow(o + step * 4, step, f32x4.add(b0, c0), f32x4.add(b1, c1), f32x4.add(b2, c2), f32x4.add(b3, c3));
    transformRow(o + step * 8, step, f32x4.sub(c0, b0), f32x4.sub(c1, b1), f32x4.sub(c2, b2), f32x4.sub(c3, b3));
    transformRow(o + step * 12, step, f32x4.sub(b0, d0), f32x4.sub(b1, d1), f32x4.sub(b2, d2), f32x4.sub(b3, d3));
  }
}

// @ts-ignore: decorator
@inline
function transformRow(o: usize, step: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(o, f32x4.sub(a, c));
  v128.store(o + step, f32x4.add(b, c));
  v128.store(o + step * 2, f32x4.sub(c, b));
  v128.store(o + step * 3, f32x4.sub(b, d));
}

/** For each of the 16 elements: sums [6][8] = v [6][CI] u [CI][8]. */
function multiply(v: usize, u: usize, sums: usize, CI: i32): void {
  const tile = <usize>CI << 2;
  const zero = f32x4.splat(0);
  for (let element = 0; element < 16; element++) {
    let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero;
    let d0 = zero, d1 = zero, e0 = zero, e1 = zero, f0 = zero, f1 = zero;
    const end = v + tile;
    let w = u;
    for (let p = v; p < end; p += 4, w += 32) {
      const w0 = v128.load(w), w1 = v128.load(w, 16);
      const q = p + tile * 3;
      let s = v128.load32_splat(p);
      a0 = madd(s, w0, a0); a1 = madd(s, w1, a1);
      s = v128.load32_splat(p + tile);
      b0 = madd(s, w0, b0); b1 = madd(s, w1, b1);
      s = v128.load32_splat(p + tile * 2);
      c0 = madd(s, w0, c0); c1 = madd(s, w1, c1);
      s = v128.load32_splat(q);
      d0 = madd(s, w0, d0); d1 = madd(s, w1, d1);
      s = v128.load32_splat(q + tile);
      e0 = madd(s, w0, e0); e1 = madd(s, w1, e1);
      s = v128.load32_splat(q + tile * 2);
      f0 = madd(s, w0, f0); f1 = madd(s, w1, f1);
    }
    v128.store(sums, a0, 0); v128.store(sums, a1, 16); v128.store(sums, b0, 32); v128.store(sums, b1, 48);
    v128.store(sums, c0, 64); v128.store(sums, c1, 80); v128.store(sums, d0, 96); v128.store(sums, d1, 112);
    v128.store(sums, e0, 128); v128.store(sums, e1, 144); v128.store(sums, f0, 160); v128.store(sums, f1, 176);
    sums += 192;
    v += tile * GROUP;
    u += tile * 8;
  }
}

/** Pools one tile of 4 channels from m [16] (192 bytes apart) to o; returns which of the window was largest. */
// @ts-ignore: decorator
@inline
function outputs(m: usize, bias: v128, o: usize): v128 {
  // Sums of rows 0..2 and of rows 1, -2, -3 in each column, then the same of columns.
  let p = v128.load(m, 192 * 4), q = v128.load(m, 192 * 8);
  let r = f32x4.add(p, q), s = f32x4.sub(p, q);
  const a0 = f32x4.add(v128.load(m, 0), r), b0 = f32x4.sub(s, v128.load(m, 192 * 12));
  p = v128.load(m, 192 * 5); q = v128.load(m, 192 * 9); r = f32x4.add(p, q); s = f32x4.sub(p, q);
  const a1 = f32x4.add(v128.load(m, 192), r), b1 = f32x4.sub(s, v128.load(m, 192 * 13));
  p = v128.load(m, 192 * 6); q = v128.load(m, 192 * 10); r = f32x4.add(p, q); s = f32x4.sub(p, q);
  const a2 = f32x4.add(v128.load(m, 192 * 2), r), b2 = f32x4.sub(s, v128.load(m, 192 * 14));
  p = v128.load(m, 192 * 7); q = v128.load(m, 192 * 11); r = f32x4.add(p, q); s = f32x4.sub(p, q);
  const a3 = f32x4.add(v128.load(m, 192 * 3), r), b3 = f32x4.sub(s, v128.load(m, 192 * 15));
  const y00 = f32x4.add(f32x4.add(a1, a2), a0), y01 = f32x4.sub(f32x4.sub(a1, a2), a3);
  const y10 = f32x4.add(f32x4.add(b1, b2), b0), y11 = f32x4.sub(f32x4.sub(b1, b2), b3);
  const largest = f32x4.max(f32x4.max(y00, y01), f32x4.max(y10, y11));
  v128.store(o, f32x4.max(f32x4.add(largest, bias), f32x4.splat(0)));
  return firstOf(y00, y01, y10, largest);
}
