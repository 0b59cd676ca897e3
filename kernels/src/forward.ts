/**
 * @file Forward pass of one image: normalise, then conv 3x3 + bias + max-pool 2x2 + ReLU in one pass.
 *
 * The conv's own output is never written: of each 2x2 window only the largest value and which of the four it was are
 * kept. x is [H+2, W+2, CI] with a zero border; H = W. Weights are packed [CO/8][3][3][CI][8].
 */
import { madd } from './simd';

/** out[y, x] = table[pixel], rows and columns outRow and outCol bytes apart; pixels u8 [size, size]; table f32 [256]. */
export function normalise(pixels: usize, table: usize, out: usize, outRow: usize, outCol: usize, size: i32): void {
  for (let y = 0; y < size; y++, out += outRow) {
    for (let x: usize = 0, o = out; x < <usize>size; x++, o += outCol) {
      store<f32>(o, load<f32>(table + (<usize>load<u8>(pixels + x) << 2)));
    }
    pixels += size;
  }
}

/** packed [CO/8][9 CI][8] from w [CO][9 CI]. */
export function packWeights(w: usize, packed: usize, rows: i32, CO: i32): void {
  for (let c = 0; c < CO; c++) {
    const from = w + (<usize>(c * rows) << 2);
    const to = packed + (<usize>((c & ~7) * rows + (c & 7)) << 2);
    for (let r: usize = 0; r < <usize>rows; r++) store<f32>(to + (r << 5), load<f32>(from + (r << 2)));
  }
}

/**
 * Pooled activations out [H/2, H/2, CO] (rows `outRow` bytes apart) and arg u8 [H/2, H/2, CO]: which position of the
 * window, in row-major order, was largest; the first of equals.
 */
export function convPoolRelu(
  x: usize, packed: usize, bias: usize, out: usize, outRow: usize, arg: usize, H: i32, CI: i32, CO: i32,
): void {
  const row = <usize>((H + 2) * CI) << 2;
  const pixel = <usize>CI << 2;
  const zero = f32x4.splat(0);
  const half = H >> 1;
  for (let y = 0; y < half; y++) {
    for (let c = 0; c < CO; c += 8) {
      const w = packed + (<usize>(c * 9 * CI) << 2);
      const bias0 = v128.load(bias + (<usize>c << 2)), bias1 = v128.load(bias + (<usize>c << 2), 16);
      for (let xx = 0; xx < half; xx++) {
        let a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
        let q = w;
        for (let ky = 0; ky < 3; ky++) {
          let p = x + <usize>(2 * y + ky) * row + <usize>(2 * xx) * pixel;
          const end = p + pixel * 3;
          while (p < end) {
            const w0 = v128.load(q), w1 = v128.load(q, 16);
            let s = v128.load32_splat(p);
            a0 = madd(s, w0, a0); a1 = madd(s, w1, a1);
            s = v128.load32_splat(p + pixel);
            b0 = madd(s, w0, b0); b1 = madd(s, w1, b1);
            s = v128.load32_splat(p + row);
            c0 = madd(s, w0, c0); c1 = madd(s, w1, c1);
            s = v128.load32_splat(p + row + pixel);
            d0 = madd(s, w0, d0); d1 = madd(s, w1, d1);
            p += 4;
            q += 32;
          }
        }
        const m0 = f32x4.max(f32x4.max(a0, b0), f32x4.max(c0, d0));
        const m1 = f32x4.max(f32x4.max(a1, b1), f32x4.max(c1, d1));
        const o = out + <usize>y * outRow + (<usize>(xx * CO + c) << 2);
        v128.store(o, f32x4.max(f32x4.add(m0, bias0), zero));
        v128.store(o, f32x4.max(f32x4.add(m1, bias1), zero), 16);
        const packedArg = i16x8.narrow_i32x4_s(firstOf(a0, b0, c0, m0), firstOf(a1, b1, c1, m1));
        v128.store64_lane(arg + <usize>((y * half + xx) * CO + c), i8x16.narrow_i16x8_s(packedArg, packedArg), 0);
      }
    }
  }
}

/** Per lane: 0, 1, 2 or 3, the first of a, b, c (else the fourth) that equals the largest. */
// @ts-ignore: decorator
@inline
export function firstOf(a: v128, b: v128, c: v128, largest: v128): v128 {
  const cd = v128.bitselect(i32x4.splat(2), i32x4.splat(3), f32x4.eq(c, largest));
  const bcd = v128.bitselect(i32x4.splat(1), cd, f32x4.eq(b, largest));
  return v128.bitselect(i32x4.splat(0), bcd, f32x4.eq(a, largest));
}
