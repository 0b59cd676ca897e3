/**
 * @file Convolution of any kernel, stride, padding and groups, its gradients, and linear layers, which are the same sums.
 *
 * Where an output's inputs lie is a list of taps: (u32 byte offset from the output's first input, u32 run), each a run of floats that
 * lie together. A linear layer has the images of a batch in place of the columns of a row. `depth` is the sum of all runs.
 */
import { madd } from './simd';

/** Bytes of a tap. */
const TAP: usize = 8;
/** Bytes of x that are worked on together in the second-level cache. */
const FORWARD_STRIP: usize = 131072;
const GRADIENT_STRIP: usize = 32768;

/** packed [ceil(outputs/8)][depth][8] from w [outputs][depth], for outputs [from, to), from a multiple of 8. */
export function packConv(w: usize, packed: usize, depth: i32, from: i32, to: i32): void {
  for (let c = from; c < to; c++) {
    const source = w + (<usize>c * depth << 2);
    const target = packed + (<usize>((c & ~7) * depth + (c & 7)) << 2);
    for (let r: usize = 0; r < <usize>depth; r++) store<f32>(target + (r << 5), load<f32>(source + (r << 2)));
  }
}

/**
 * packed [ceil(inputs/8)][taps][outputs][8] from w [outputs][window][inputs]: the weights that the gradient of an input reads.
 * `indices`: for each tap its place in the window, u32. For inputs [from, to), from a multiple of 8.
 */
export function packTransposed(
  w: usize, packed: usize, indices: usize, taps: i32, outputs: i32, window: i32, inputs: i32, from: i32, to: i32,
): void {
  for (let first = from; first < to; first += 8) {
    const lanes = min(8, to - first);
    let target = packed + (<usize>(first * taps * outputs) << 2);
    for (let t = 0; t < taps; t++) {
      const index = load<i32>(indices + (<usize>t << 2));
      for (let o = 0; o < outputs; o++, target += 32) {
        const source = w + (<usize>((o * window + index) * inputs + first) << 2);
        for (let l: usize = 0; l < <usize>lanes; l++) store<f32>(target + (l << 2), load<f32>(source + (l << 2)));
      }
    }
  }
}

/**
 * out[y, x, c] = bias[c] + sum over taps of inputs * weights, for outputs c in [from, to) (from a multiple of 8) of `outputs`.
 * Rows and columns of x and out lie xRow, xCol, outRow, outCol bytes apart. w of packConv. bias 0: none. add: to what out holds.
 */
export function conv(
  x: usize, xRow: usize, xCol: usize, taps: usize, tapCount: i32, depth: i32, w: usize, bias: usize,
  out: usize, outRow: usize, outCol: usize, rows: i32, cols: i32, from: i32, to: i32, outputs: i32, add: i32,
): void {
  const zero = f32x4.splat(0);
  const stripRows = max<i32>(1, <i32>(FORWARD_STRIP / max<usize>(xRow, 1)));
  const lastTap = taps + <usize>tapCount * TAP;
  for (let top = 0; top < rows; top += stripRows) {
    const bottom = min(rows, top + stripRows);
    const strip = x + <usize>top * xRow;
    for (let c = from; c < to; c += 8) {
      const weights = w + (<usize>(c * depth) << 2);
      const lanes = min(8, outputs - c);
      const outStrip = out + <usize>top * outRow + (<usize>c << 2);
      const bias0 = bias == 0 ? zero : loadLanes(bias + (<usize>c << 2), min(4, lanes));
      const bias1 = bias == 0 || lanes <= 4 ? zero : loadLanes(bias + (<usize>c << 2) + 16, lanes - 4);
      const count = (bottom - top) * cols;
      // Six positions at a time, across the ends of rows; past the last one it is computed again and not stored.
      for (let n = 0; n < count; n += 6) {
          const last = count - 1 - n;
          const n1 = n + min(1, last), n2 = n + min(2, last), n3 = n + min(3, last);
          const n4 = n + min(4, last), n5 = n + min(5, last);
          const first = position(strip, n, cols, xRow, xCol);
          const s1 = position(strip, n1, cols, xRow, xCol) - first, s2 = position(strip, n2, cols, xRow, xCol) - first;
          const s3 = position(strip, n3, cols, xRow, xCol) - first, s4 = position(strip, n4, cols, xRow, xCol) - first;
          const s5 = position(strip, n5, cols, xRow, xCol) - first;
          let a0 = bias0, a1 = bias1, b0 = bias0, b1 = bias1, c0 = bias0, c1 = bias1;
          let d0 = bias0, d1 = bias1, e0 = bias0, e1 = bias1, f0 = bias0, f1 = bias1;
          let q = weights;
          for (let tap = taps; tap < lastTap; tap += TAP) {
            let p = first + <usize>load<u32>(tap);
            const end = p + (<usize>load<u32>(tap, 4) << 2);
            const unrolled = p + ((<usize>load<u32>(tap, 4) & ~1) << 2);
            for (; p < unrolled; p += 8, q += 64) {
              let w0 = v128.load(q), w1 = v128.load(q, 16);
              let s = v128.load32_splat(p);
              a0 = madd(s, w0, a0); a1 = madd(s, w1, a1);
              s = v128.load32_splat(p + s1);
              b0 = madd(s, w0, b0); b1 = madd(s, w1, b1);
              s = v128.load32_splat(p + s2);
              c0 = madd(s, w0, c0); c1 = madd(s, w1, c1);
              s = v128.load32_splat(p + s3);
              d0 = madd(s, w0, d0); d1 = madd(s, w1, d1);
              s = v128.load32_splat(p + s4);
              e0 = madd(s, w0, e0); e1 = madd(s, w1, e1);
              s = v128.load32_splat(p + s5);
              f0 = madd(s, w0, f0); f1 = madd(s, w1, f1);
              w0 = v128.load(q, 32); w1 = v128.load(q, 48);
              s = v128.load32_splat(p, 4);
              a0 = madd(s, w0, a0); a1 = madd(s, w1, a1);
              s = v128.load32_splat(p + s1, 4);
              b0 = madd(s, w0, b0); b1 = madd(s, w1, b1);
              s = v128.load32_splat(p + s2, 4);
              c0 = madd(s, w0, c0); c1 = madd(s, w1, c1);
              s = v128.load32_splat(p + s3, 4);
              d0 = madd(s, w0, d0); d1 = madd(s, w1, d1);
              s = v128.load32_splat(p + s4, 4);
              e0 = madd(s, w0, e0); e1 = madd(s, w1, e1);
              s = v128.load32_splat(p + s5, 4);
              f0 = madd(s, w0, f0); f1 = madd(s, w1, f1);
            }
            if (p < end) {
              const w0 = v128.load(q), w1 = v128.load(q, 16);
              let s = v128.load32_splat(p);
              a0 = madd(s, w0, a0); a1 = madd(s, w1, a1);
              s = v128.load32_splat(p + s1);
              b0 = madd(s, w0, b0); b1 = madd(s, w1, b1);
              s = v128.load32_splat(p + s2);
              c0 = madd(s, w0, c0); c1 = madd(s, w1, c1);
              s = v128.load32_splat(p + s3);
              d0 = madd(s, w0, d0); d1 = madd(s, w1, d1);
              s = v128.load32_splat(p + s4);
              e0 = madd(s, w0, e0); e1 = madd(s, w1, e1);
              s = v128.load32_splat(p + s5);
              f0 = madd(s, w0, f0); f1 = madd(s, w1, f1);
              q += 32;
            }
          }
          put(position(outStrip, n, cols, outRow, outCol), a0, a1, lanes, add);
          if (last < 1) continue;
          put(position(outStrip, n1, cols, outRow, outCol), b0, b1, lanes, add);
          if (last < 2) continue;
          put(position(outStrip, n2, cols, outRow, outCol), c0, c1, lanes, add);
          if (last < 3) continue;
          put(position(outStrip, n3, cols, outRow, outCol), d0, d1, lanes, add);
          if (last < 4) continue;
          put(position(outStrip, n4, cols, outRow, outCol), e0, e1, lanes, add);
          if (last < 5) continue;
          put(position(outStrip, n5, cols, outRow, outCol), f0, f1, lanes, add);
      }
    }
  }
}

/** Address of position n of rows of `cols`. */
// @ts-ignore: decorator
@inline
function position(start: usize, n: i32, cols: i32, row: usize, col: usize): usize {
  return start + <usize>(n / cols) * row + <usize>(n % cols) * col;
}

/** The first `lanes` floats at `at`; zeros behind them. */
function loadLanes(at: usize, lanes: i32): v128 {
  if (lanes >= 4) return v128.load(at);
  let v = f32x4.replace_lane(f32x4.splat(0), 0, load<f32>(at));
  if (lanes > 1) v = f32x4.replace_lane(v, 1, load<f32>(at, 4));
  if (lanes > 2) v = f32x4.replace_lane(v, 2, load<f32>(at, 8));
  return v;
}

// @ts-ignore: decorator
@inline
function put(o: usize, low: v128, high: v128, lanes: i32, add: i32): void {
  if (lanes == 8) {
    if (add) {
      low = f32x4.add(low, v128.load(o));
      high = f32x4.add(high, v128.load(o, 16));
    }
    v128.store(o, low);
    v128.store(o, high, 16);
  } else {
    putLanes(o, low, high, lanes, add);
  }
}

/** Stores no more than the lanes that are outputs: what lies behind them belongs to others. */
function putLanes(o: usize, low: v128, high: v128, lanes: i32, add: i32): void {
  for (let l: i32 = 0; l < lanes; l++, o += 4) {
    const v = l < 4 ? low : high;
    const k = l & 3;
    const value =
      k == 0 ? f32x4.extract_lane(v, 0)
      : k == 1 ? f32x4.extract_lane(v, 1)
      : k == 2 ? f32x4.extract_lane(v, 2)
      : f32x4.extract_lane(v, 3);
    store<f32>(o, add ? load<f32>(o) + value : value);
  }
}

/**
 * dw [outputs][depth] and db [outputs] (0: none) of a batch, for outputs [from, to), overwritten: sums over images, rows and
 * columns in that order. Images lie xImage and gImage bytes apart; taps as in `conv`.
 */
export function convWeightGradient(
  x: usize, xImage: usize, xRow: usize, xCol: usize, taps: usize, tapCount: i32, depth: i32,
  g: usize, gImage: usize, gRow: usize, gCol: usize, dw: usize, db: usize,
  images: i32, rows: i32, cols: i32, from: i32, to: i32,
): void {
  const row = <usize>depth << 2;
  memory.fill(dw + <usize>from * row, 0, <usize>(to - from) * row);
  if (db != 0) memory.fill(db + (<usize>from << 2), 0, <usize>(to - from) << 2);
  const strip = max<i32>(1, <i32>(GRADIENT_STRIP / max<usize>(xRow, 1)));
  const lastTap = taps + <usize>tapCount * TAP;
  for (let image = 0; image < images; image++, x += xImage, g += gImage) {
    for (let top = 0; top < rows; top += strip) {
      const count = min(strip, rows - top);
      const xTop = x + <usize>top * xRow;
      const gTop = g + <usize>top * gRow;
      for (let c = from; c < to; c += 4) {
        // Past the last output the last one is computed again, and its sums are stored once.
        const last = <usize>(to - 1 - c);
        const gc = gTop + (<usize>c << 2);
        const c1 = min<usize>(1, last), c2 = min<usize>(2, last), c3 = min<usize>(3, last);
        let d = dw + <usize>c * row;
        for (let tap = taps; tap < lastTap; tap += TAP) {
          const start = xTop + <usize>load<u32>(tap);
          const run = <usize>load<u32>(tap, 4) << 2;
          const wide = run & ~31;
          let i: usize = 0;
          for (; i < wide; i += 32) {
            wideGradient(start + i, xRow, xCol, gc, gRow, gCol, c1 << 2, c2 << 2, c3 << 2, d + i, row, last, count, cols);
          }
          for (; i < run; i += 4) narrowGradient(start + i, xRow, xCol, gc, gRow, gCol, c1, c2, c3, d + i, row, last, count, cols);
          d += run;
        }
        if (db != 0) biasGradient(gc, gRow, gCol, db + (<usize>c << 2), last, count, cols);
      }
    }
  }
}

/** Sums of 4 outputs by 8 inputs, held in registers over the positions of a strip. */
// @ts-ignore: decorator
@inline
function wideGradient(
  x: usize, xRow: usize, xCol: usize, g: usize, gRow: usize, gCol: usize, s1: usize, s2: usize, s3: usize,
  d: usize, row: usize, last: usize, rows: i32, cols: i32,
): void {
  const d1 = d + row, d2 = d1 + row, d3 = d2 + row;
  const zero = f32x4.splat(0);
  let a0 = v128.load(d), a1 = v128.load(d, 16), b0 = zero, b1 = zero, c0 = zero, c1 = zero, e0 = zero, e1 = zero;
  if (last >= 1) { b0 = v128.load(d1); b1 = v128.load(d1, 16); }
  if (last >= 2) { c0 = v128.load(d2); c1 = v128.load(d2, 16); }
  if (last >= 3) { e0 = v128.load(d3); e1 = v128.load(d3, 16); }
  for (let y = 0; y < rows; y++, x += xRow, g += gRow) {
    let p = x, q = g;
    const end = q + <usize>cols * gCol;
    for (; q < end; q += gCol, p += xCol) {
      const x0 = v128.load(p), x1 = v128.load(p, 16);
      let s = v128.load32_splat(q);
      a0 = madd(s, x0, a0); a1 = madd(s, x1, a1);
      s = v128.load32_splat(q + s1);
      b0 = madd(s, x0, b0); b1 = madd(s, x1, b1);
      s = v128.load32_splat(q + s2);
      c0 = madd(s, x0, c0); c1 = madd(s, x1, c1);
      s = v128.load32_splat(q + s3);
      e0 = madd(s, x0, e0); e1 = madd(s, x1, e1);
    }
  }
  v128.store(d, a0); v128.store(d, a1, 16);
  if (last >= 1) { v128.store(d1, b0); v128.store(d1, b1, 16); }
  if (last >= 2) { v128.store(d2, c0); v128.store(d2, c1, 16); }
  if (last >= 3) { v128.store(d3, e0); v128.store(d3, e1, 16); }
}

/** The same for one input. */
function narrowGradient(
  x: usize, xRow: usize, xCol: usize, g: usize, gRow: usize, gCol: usize, c1: usize, c2: usize, c3: usize,
  d: usize, row: usize, last: usize, rows: i32, cols: i32,
): void {
  let sum = f32x4.splat(0);
  for (let y = 0; y < rows; y++, x += xRow, g += gRow) {
    let p = x, q = g;
    const end = q + <usize>cols * gCol;
    if (last >= 3) {
      for (; q < end; q += gCol, p += xCol) sum = madd(v128.load32_splat(p), v128.load(q), sum);
    } else {
      for (; q < end; q += gCol, p += xCol) sum = madd(v128.load32_splat(p), loadLanes(q, <i32>last + 1), sum);
    }
  }
  store<f32>(d, load<f32>(d) + f32x4.extract_lane(sum, 0));
  if (last >= 1) store<f32>(d + c1 * row, load<f32>(d + c1 * row) + f32x4.extract_lane(sum, 1));
  if (last >= 2) store<f32>(d + c2 * row, load<f32>(d + c2 * row) + f32x4.extract_lane(sum, 2));
  if (last >= 3) store<f32>(d + c3 * row, load<f32>(d + c3 * row) + f32x4.extract_lane(sum, 3));
}

function biasGradient(g: usize, gRow: usize, gCol: usize, db: usize, last: usize, rows: i32, cols: i32): void {
  const lanes = <i32>min<usize>(3, last) + 1;
  let sum = f32x4.splat(0);
  for (let y = 0; y < rows; y++, g += gRow) {
    const end = g + <usize>cols * gCol;
    for (let q = g; q < end; q += gCol) sum = f32x4.add(sum, loadLanes(q, lanes));
  }
  putLanes(db, sum, sum, lanes, 1);
}
