/**
 * @file Dropout from a counter: element e of image i in layer l is dropped or kept by 16 bits of
 * Philox4x32-10(counter = [e / 8, i, l, 0], key), whoever computes it and in whatever order.
 */

/**
 * Drops elements of `rows` rows of `count` floats (a multiple of 4), `rowBytes` apart: those whose 16 bits are below
 * `threshold` become 0, the others are multiplied by `scale`.
 */
export function dropout(
  x: usize, rowBytes: usize, rows: i32, count: i32, key0: u32, key1: u32, image: u32, layer: u32,
  threshold: u32, scale: f32,
): void {
  const limit = i32x4.splat(threshold);
  const scales = f32x4.splat(scale);
  for (let y = 0; y < rows; y++, x += rowBytes) {
    const end = x + (<usize>count << 2);
    let quad: u32 = <u32>(y * count) >> 2;
    for (let p = x; p < end; ) {
      let x0 = quad >> 1, x1 = image, x2 = layer, x3: u32 = 0, k0 = key0, k1 = key1;
      for (let round = 0; round < 10; round++) {
        const a = <u64>x0 * 0xd2511f53, b = <u64>x2 * 0xcd9e8d57;
        x0 = <u32>(b >> 32) ^ x1 ^ k0;
        x1 = <u32>b;
        x2 = <u32>(a >> 32) ^ x3 ^ k1;
        x3 = <u32>a;
        k0 += 0x9e3779b9;
        k1 += 0xbb67ae85;
      }
      const bits = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(x0), 1, x1), 2, x2), 3, x3);
      // A row may begin or end in the middle of the 8 elements that share a draw.
      if (!(quad & 1)) {
        keep(p, i32x4.extend_low_i16x8_u(bits), limit, scales);
        p += 16;
        quad += 1;
        if (p >= end) break;
      }
      keep(p, i32x4.extend_high_i16x8_u(bits), limit, scales);
      p += 16;
      quad += 1;
    }
  }
}

// @ts-ignore: decorator
@inline
function keep(p: usize, bits: v128, limit: v128, scales: v128): void {
  v128.store(p, v128.andnot(f32x4.mul(v128.load(p), scales), i32x4.lt_s(bits, limit)));
}
