/**
 * @file Depthwise convolution: as many groups as channels, one output each. Vectors run over channels, a multiple of 4; weights are
 * [window][C]. Offsets of the window's taps are u32 bytes from an output's first input.
 */
import { madd } from './simd';

/**
 * out[y, x, c] = bias[c] + sum over taps of x[tap, c] * w[tap, c] (+ out where `add`). bias 0: none. With the taps of a gradient's
 * positions it is the gradient of the input.
 */
export function depthwise(
  x: usize, xRow: usize, xCol: usize, taps: usize, tapCount: i32, w: usize, bias: usize,
  out: usize, outRow: usize, outCol: usize, rows: i32, cols: i32, C: i32, add: i32,
): void {
  const bytes = <usize>C << 2;
  for (let y = 0; y < rows; y++) {
    for (let c: usize = 0; c < bytes; c += 16) {
      const start = bias == 0 ? f32x4.splat(0) : v128.load(bias + c);
      let p = x + <usize>y * xRow + c, o = out + <usize>y * outRow + c;
      for (let xx = 0; xx < cols; xx++, p += xCol, o += outCol) {
        let sum = start;
        let q = w + c;
        for (let t: usize = 0; t < <usize>tapCount; t++, q += bytes) {
          sum = madd(v128.load(p + <usize>load<u32>(taps + (t << 2))), v128.load(q), sum);
        }
        v128.store(o, add ? f32x4.add(sum, v128.load(o)) : sum);
      }
    }
  }
}

/** dw [window][C] and db [C] (0: none) of a batch for channels [from, to), multiples of 4, overwritten. */
export function depthwiseWeightGradient(
  x: usize, xImage: usize, xRow: usize, xCol: usize, taps: usize, tapCount: i32,
  g: usize, gImage: usize, gRow: usize, gCol: usize, dw: usize, db: usize,
  images: i32, rows: i32, cols: i32, C: i32, from: i32, to: i32,
): void {
  const bytes = <usize>C << 2;
  const first = <usize>from << 2, end = <usize>to << 2;
  for (let c = first; c < end; c += 16) {
    for (let t: usize = 0; t <= <usize>tapCount; t++) {
      // One turn more than taps, for the bias.
      const isBias = t == <usize>tapCount;
      if (isBias && db == 0) continue;
      const offset = isBias ? <usize>0 : <usize>load<u32>(taps + (t << 2));
      let total = f32x4.splat(0);
      for (let image: usize = 0; image < <usize>images; image++) {
        let sum = f32x4.splat(0);
        for (let y: usize = 0; y < <usize>rows; y++) {
          let p = x + image * xImage + y * xRow + offset + c, q = g + image * gImage + y * gRow + c;
          for (let xx = 0; xx < cols; xx++, p += xCol, q += gCol) {
            sum = isBias ? f32x4.add(sum, v128.load(q)) : madd(v128.load(p), v128.load(q), sum);
          }
        }
        total = f32x4.add(total, sum);
      }
      v128.store(isBias ? db + c : dw + t * bytes + c, total);
    }
  }
}
