/**
 * @file Pooling of any window, one image: x [H, W, C] and out [OH, OW, C] with rows xRow, outRow bytes apart, C a multiple of 4.
 * kernel, stride and padding are given for height and width. Positions outside the image never win a maximum and count as zeros
 * in an average.
 */

/** Largest of each window and which position it was, u8 [OH, OW, C], row-major in the window; the first of equals. */
export function maxPool(
  x: usize, xRow: usize, H: i32, W: i32, C: i32, out: usize, outRow: usize, OH: i32, OW: i32, arg: usize,
  kh: i32, kw: i32, sh: i32, sw: i32, ph: i32, pw: i32,
): void {
  const pixel = <usize>C << 2;
  for (let y = 0; y < OH; y++) {
    const top = y * sh - ph;
    for (let xx = 0; xx < OW; xx++) {
      const left = xx * sw - pw;
      for (let c: usize = 0; c < pixel; c += 16) {
        let best = f32x4.splat(-Infinity);
        let which = i32x4.splat(0);
        for (let ky = max(0, -top); ky < min(kh, H - top); ky++) {
          for (let kx = max(0, -left); kx < min(kw, W - left); kx++) {
            const value = v128.load(x + <usize>(top + ky) * xRow + <usize>(left + kx) * pixel + c);
            // What is not a number wins, and stays.
            const larger = v128.andnot(f32x4.eq(best, best), f32x4.le(value, best));
            best = v128.bitselect(value, best, larger);
            which = v128.bitselect(i32x4.splat(ky * kw + kx), which, larger);
          }
        }
        v128.store(out + <usize>y * outRow + <usize>xx * pixel + c, best);
        const narrow = i16x8.narrow_i32x4_s(which, which);
        v128.store32_lane(arg + <usize>((y * OW + xx) * C) + (c >> 2), i8x16.narrow_i16x8_u(narrow, narrow), 0);
      }
    }
  }
}

/** dx at the winning positions += g. */
export function maxPoolGradient(
  g: usize, gRow: usize, OH: i32, OW: i32, C: i32, arg: usize, dx: usize, xRow: usize,
  kw: i32, sh: i32, sw: i32, ph: i32, pw: i32,
): void {
  for (let y = 0; y < OH; y++) {
    for (let xx = 0; xx < OW; xx++) {
      const from = g + <usize>y * gRow + (<usize>(xx * C) << 2);
      const args = arg + <usize>((y * OW + xx) * C);
      for (let c: usize = 0; c < <usize>C; c++) {
        const which = <i32>load<u8>(args + c);
        const row = y * sh - ph + which / kw, col = xx * sw - pw + which % kw;
        const at = dx + <usize>row * xRow + ((<usize>(col * C) + c) << 2);
        store<f32>(at, load<f32>(at) + load<f32>(from + (c << 2)));
      }
    }
  }
}

/** Mean of each window, times `scale` (1 / window size). */
export function averagePool(
  x: usize, xRow: usize, H: i32, W: i32, C: i32, out: usize, outRow: usize, OH: i32, OW: i32, scale: f32,
  kh: i32, kw: i32, sh: i32, sw: i32, ph: i32, pw: i32,
): void {
  const pixel = <usize>C << 2;
  const scales = f32x4.splat(scale);
  for (let y = 0; y < OH; y++) {
    const top = y * sh - ph;
    for (let xx = 0; xx < OW; xx++) {
      const left = xx * sw - pw;
      for (let c: usize = 0; c < pixel; c += 16) {
        let sum = f32x4.splat(0);
        for (let ky = max(0, -top); ky < min(kh, H - top); ky++) {
          let line = f32x4.splat(0);
          for (let kx = max(0, -left); kx < min(kw, W - left); kx++) {
            line = f32x4.add(line, v128.load(x + <usize>(top + ky) * xRow + <usize>(left + kx) * pixel + c));
          }
          sum = f32x4.add(sum, line);
        }
        v128.store(out + <usize>y * outRow + <usize>xx * pixel + c, f32x4.mul(sum, scales));
      }
    }
  }
}

/** dx at every position of a window += g * scale. */
export function averagePoolGradient(
  g: usize, gRow: usize, OH: i32, OW: i32, C: i32, dx: usize, xRow: usize, H: i32, W: i32, scale: f32,
  kh: i32, kw: i32, sh: i32, sw: i32, ph: i32, pw: i32,
): void {
  const pixel = <usize>C << 2;
  const scales = f32x4.splat(scale);
  for (let y = 0; y < OH; y++) {
    const top = y * sh - ph;
    for (let xx = 0; xx < OW; xx++) {
      const left = xx * sw - pw;
      for (let c: usize = 0; c < pixel; c += 16) {
        const value = f32x4.mul(v128.load(g + <usize>y * gRow + <usize>xx * pixel + c), scales);
        for (let ky = max(0, -top); ky < min(kh, H - top); ky++) {
          for (let kx = max(0, -left); kx < min(kw, W - left); kx++) {
            const at = dx + <usize>(top + ky) * xRow + <usize>(left + kx) * pixel + c;
            v128.store(at, f32x4.add(v128.load(at), value));
          }
        }
      }
    }
  }
}
