/**
 * @file Functions of single values, over `rows` rows of `count` floats (a multiple of 4) that lie a number of bytes apart. Source and
 * target may be the same. `add`: the gradient is added to what the target holds.
 */

// @ts-ignore: decorator
@inline
function accumulate(at: usize, value: v128, add: i32): void {
  v128.store(at, add ? f32x4.add(v128.load(at), value) : value);
}

/** y = x (+ y). */
export function copyRows(x: usize, xRow: usize, y: usize, yRow: usize, rows: i32, count: i32, add: i32): void {
  for (let r = 0; r < rows; r++, x += xRow, y += yRow) {
    for (let i: usize = 0; i < <usize>count << 2; i += 16) accumulate(y + i, v128.load(x + i), add);
  }
}

/** y = a + b. */
export function addRows(
  a: usize, aRow: usize, b: usize, bRow: usize, y: usize, yRow: usize, rows: i32, count: i32,
): void {
  for (let r = 0; r < rows; r++, a += aRow, b += bRow, y += yRow) {
    for (let i: usize = 0; i < <usize>count << 2; i += 16) v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  }
}

/** y = max(x, 0). */
export function relu(x: usize, xRow: usize, y: usize, yRow: usize, rows: i32, count: i32): void {
  const zero = f32x4.splat(0);
  for (let r = 0; r < rows; r++, x += xRow, y += yRow) {
    for (let i: usize = 0; i < <usize>count << 2; i += 16) v128.store(y + i, f32x4.max(v128.load(x + i), zero));
  }
}

/** dx = dy where y > 0, else 0. */
export function reluGradient(
  y: usize, yRow: usize, dy: usize, dyRow: usize, dx: usize, dxRow: usize, rows: i32, count: i32, add: i32,
): void {
  const zero = f32x4.splat(0);
  for (let r = 0; r < rows; r++, y += yRow, dy += dyRow, dx += dxRow) {
    for (let i: usize = 0; i < <usize>count << 2; i += 16) {
      accumulate(dx + i, v128.and(v128.load(dy + i), f32x4.gt(v128.load(y + i), zero)), add);
    }
  }
}

/**
 * e^x for x <= 0, relative error below 1e-13: 2^n e^r with |r| <= ln 2 / 2, e^r by its Taylor series. Math.exp would put a table into
 * the memory that the engine lays out.
 */
// @ts-ignore: decorator
@inline
function exponential(x: f64): f64 {
  if (x < -700) return 0;
  const n = nearest<f64>(x * 1.4426950408889634);
  const r = x - n * 0.6931471805599453;
  let sum: f64 = 1;
  for (let k: f64 = 12; k >= 1; k--) sum = 1 + (r / k) * sum;
  return sum * reinterpret<f64>(<u64>(<i64>n + 1023) << 52);
}

/** Standard normal distribution function: (1 + erf(x / sqrt 2)) / 2, erf by Abramowitz and Stegun 7.1.26 (error below 1.5e-7). */
// @ts-ignore: decorator
@inline
function normalCdf(x: f64, density: f64): f64 {
  const t = 1 / (1 + 0.3275911 * Math.SQRT1_2 * abs<f64>(x));
  const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * density;
  return x > 0 ? 1 - 0.5 * tail : 0.5 * tail;
}

/** y = x Phi(x). */
export function gelu(x: usize, xRow: usize, y: usize, yRow: usize, rows: i32, count: i32): void {
  for (let r = 0; r < rows; r++, x += xRow, y += yRow) {
    for (let i: usize = 0; i < <usize>count << 2; i += 4) {
      const value = <f64>load<f32>(x + i);
      store<f32>(y + i, <f32>(value * normalCdf(value, exponential(-0.5 * value * value))));
    }
  }
}

/** dx = dy (Phi(x) + x phi(x)). */
export function geluGradient(
  x: usize, xRow: usize, dy: usize, dyRow: usize, dx: usize, dxRow: usize, rows: i32, count: i32, add: i32,
): void {
  const norm: f64 = 0.3989422804014327;
  for (let r = 0; r < rows; r++, x += xRow, dy += dyRow, dx += dxRow) {
    for (let i: usize = 0; i < <usize>count << 2; i += 4) {
      const value = <f64>load<f32>(x + i);
      const density = exponential(-0.5 * value * value);
      const gradient = <f32>(<f64>load<f32>(dy + i) * (normalCdf(value, density) + value * norm * density));
      store<f32>(dx + i, add ? load<f32>(dx + i) + gradient : gradient);
    }
  }
}

/** Sum of `images` arrays of `count` floats, `stride` bytes apart, in their order. */
export function sumImages(parts: usize, stride: usize, images: i32, out: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count << 2; i += 16) {
    let sum = f32x4.splat(0);
    let p = parts + i;
    for (let image = 0; image < images; image++, p += stride) sum = f32x4.add(sum, v128.load(p));
    v128.store(out + i, sum);
  }
}

/** x = 0. */
export function clearRows(x: usize, xRow: usize, rows: i32, count: i32): void {
  for (let r = 0; r < rows; r++, x += xRow) memory.fill(x, 0, <usize>count << 2);
}
