/**
 * @file The one arithmetic step everything is made of, and the loop that most of the backward pass is: a block of
 * sums held in registers while a list of (source offset, factor) is walked.
 *
 * A list entry is 8 bytes: u32 byte offset into the source, f32 factor. Entries are only made for factors that are not
 * zero, so the work is as sparse as the gradient is.
 */

/** Bytes of a list entry. */
export const ENTRY: usize = 8;

/** c + a * b on 4 lanes; fused where the module is built with relaxed SIMD and the processor can. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}

/** Sum of the 4 lanes, pairwise. */
// @ts-ignore: decorator
@inline
export function sumLanes(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

/** target[0..47] += sum over the list of factor * source[offset + 0..47]. */
// @ts-ignore: decorator
@inline
export function accumulate48(target: usize, source: usize, list: usize, end: usize): void {
  let a = v128.load(target, 0), b = v128.load(target, 16), c = v128.load(target, 32), d = v128.load(target, 48);
  let e = v128.load(target, 64), f = v128.load(target, 80), g = v128.load(target, 96), h = v128.load(target, 112);
  let i = v128.load(target, 128), j = v128.load(target, 144), k = v128.load(target, 160), l = v128.load(target, 176);
  for (let entry = list; entry < end; entry += ENTRY) {
    const s = source + <usize>load<u32>(entry);
    const factor = v128.load32_splat(entry, 4);
    a = madd(factor, v128.load(s, 0), a);
    b = madd(factor, v128.load(s, 16), b);
    c = madd(factor, v128.load(s, 32), c);
    d = madd(factor, v128.load(s, 48), d);
    e = madd(factor, v128.load(s, 64), e);
    f = madd(factor, v128.load(s, 80), f);
    g = madd(factor, v128.load(s, 96), g);
    h = madd(factor, v128.load(s, 112), h);
    i = madd(factor, v128.load(s, 128), i);
    j = madd(factor, v128.load(s, 144), j);
    k = madd(factor, v128.load(s, 160), k);
    l = madd(factor, v128.load(s, 176), l);
  }
  v128.store(target, a, 0); v128.store(target, b, 16); v128.store(target, c, 32); v128.store(target, d, 48);
  v128.store(target, e, 64); v128.store(target, f, 80); v128.store(target, g, 96); v128.store(target, h, 112);
  v128.store(target, i, 128); v128.store(target, j, 144); v128.store(target, k, 160); v128.store(target, l, 176);
}

/** target[0..31] += sum over the list of factor * source[offset + 0..31]. */
// @ts-ignore: decorator
@inline
export function accumulate32(target: usize, source: usize, list: usize, end: usize): void {
  let a = v128.load(target, 0), b = v128.load(target, 16), c = v128.load(target, 32), d = v128.load(target, 48);
  let e = v128.load(target, 64), f = v128.load(target, 80), g = v128.load(target, 96), h = v128.load(target, 112);
  for (let entry = list; entry < end; entry += ENTRY) {
    const s = source + <usize>load<u32>(entry);
    const factor = v128.load32_splat(entry, 4);
    a = madd(factor, v128.load(s, 0), a);
    b = madd(factor, v128.load(s, 16), b);
    c = madd(factor, v128.load(s, 32), c);
    d = madd(factor, v128.load(s, 48), d);
    e = madd(factor, v128.load(s, 64), e);
    f = madd(factor, v128.load(s, 80), f);
    g = madd(factor, v128.load(s, 96), g);
    h = madd(factor, v128.load(s, 112), h);
  }
  v128.store(target, a, 0); v128.store(target, b, 16); v128.store(target, c, 32); v128.store(target, d, 48);
  v128.store(target, e, 64); v128.store(target, f, 80); v128.store(target, g, 96); v128.store(target, h, 112);
}

/** target[0..23] += sum over the list of factor * source[offset + 0..23]. */
// @ts-ignore: decorator
@inline
export function accumulate24(target: usize, source: usize, list: usize, end: usize): void {
  let a = v128.load(target, 0), b = v128.load(target, 16), c = v128.load(target, 32);
  let d = v128.load(target, 48), e = v128.load(target, 64), f = v128.load(target, 80);
  for (let entry = list; entry < end; entry += ENTRY) {
    const s = source + <usize>load<u32>(entry);
    const factor = v128.load32_splat(entry, 4);
    a = madd(factor, v128.load(s, 0), a);
    b = madd(factor, v128.load(s, 16), b);
    c = madd(factor, v128.load(s, 32), c);
    d = madd(factor, v128.load(s, 48), d);
    e = madd(factor, v128.load(s, 64), e);
    f = madd(factor, v128.load(s, 80), f);
  }
  v128.store(target, a, 0); v128.store(target, b, 16); v128.store(target, c, 32);
  v128.store(target, d, 48); v128.store(target, e, 64); v128.store(target, f, 80);
}
