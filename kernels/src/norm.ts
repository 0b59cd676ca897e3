/**
 * @file Group norm and batch norm: sums by channel over the rows of an image, and the affine maps that they lead to.
 *
 * x, y and gradients are [H, W, C] of one image, rows a number of bytes apart, C a multiple of 4; arrays by channel have C floats. A norm is
 * y = x * scale + shift by channel, and its gradient dx = dy * p + x * q + r (Ioffe and Szegedy, ICML 2015; Wu and He, ECCV 2018).
 */
import { madd } from './simd';

/** sums[c] = sum of x. */
export function channelSums(x: usize, xRow: usize, H: i32, W: i32, C: i32, sums: usize): void {
  const pixel = <usize>C << 2;
  for (let c: usize = 0; c < pixel; c += 16) {
    let total = f32x4.splat(0);
    for (let y: usize = 0; y < <usize>H; y++) {
      // By row first: fewer roundings than one long sum.
      let sum = f32x4.splat(0);
      let p = x + y * xRow + c;
      for (let i = 0; i < W; i++, p += pixel) sum = f32x4.add(sum, v128.load(p));
      total = f32x4.add(total, sum);
    }
    v128.store(sums + c, total);
  }
}

/** sums[c] = sum of (x - mean[c])^2. */
export function channelSquares(x: usize, xRow: usize, H: i32, W: i32, C: i32, mean: usize, sums: usize): void {
  const pixel = <usize>C << 2;
  for (let c: usize = 0; c < pixel; c += 16) {
    const m = v128.load(mean + c);
    let total = f32x4.splat(0);
    for (let y: usize = 0; y < <usize>H; y++) {
      let sum = f32x4.splat(0);
      let p = x + y * xRow + c;
      for (let i = 0; i < W; i++, p += pixel) {
        const d = f32x4.sub(v128.load(p), m);
        sum = madd(d, d, sum);
      }
      total = f32x4.add(total, sum);
    }
    v128.store(sums + c, total);
  }
}

/** y = x * scale[c] + shift[c]. */
export function channelAffine(
  x: usize, xRow: usize, y: usize, yRow: usize, H: i32, W: i32, C: i32, scale: usize, shift: usize,
): void {
  const pixel = <usize>C << 2;
  for (let r: usize = 0; r < <usize>H; r++, x += xRow, y += yRow) {
    for (let c: usize = 0; c < pixel; c += 16) {
      const s = v128.load(scale + c), t = v128.load(shift + c);
      let p = x + c, o = y + c;
      for (let i = 0; i < W; i++, p += pixel, o += pixel) v128.store(o, madd(v128.load(p), s, t));
    }
  }
}

/** sums[c] = sum of dy, and sums[C + c] = sum of dy * (x - mean[c]). */
export function channelGradientSums(
  dy: usize, dyRow: usize, x: usize, xRow: usize, H: i32, W: i32, C: i32, mean: usize, sums: usize,
): void {
  const pixel = <usize>C << 2;
  for (let c: usize = 0; c < pixel; c += 16) {
    const m = v128.load(mean + c);
    let total = f32x4.splat(0), moment = total;
    for (let y: usize = 0; y < <usize>H; y++) {
      let sum = f32x4.splat(0), product = sum;
      let p = x + y * xRow + c, g = dy + y * dyRow + c;
      for (let i = 0; i < W; i++, p += pixel, g += pixel) {
        const gradient = v128.load(g);
        sum = f32x4.add(sum, gradient);
        product = madd(gradient, f32x4.sub(v128.load(p), m), product);
      }
      total = f32x4.add(total, sum);
      moment = f32x4.add(moment, product);
    }
    v128.store(sums + c, total);
    v128.store(sums + pixel + c, moment);
  }
}

/** dx = dy * p[c] + x * q[c] + r[c] (+ dx where `add`). */
export function channelGradient(
  dy: usize, dyRow: usize, x: usize, xRow: usize, dx: usize, dxRow: usize, H: i32, W: i32, C: i32,
  p: usize, q: usize, r: usize, add: i32,
): void {
  const pixel = <usize>C << 2;
  for (let row: usize = 0; row < <usize>H; row++, dy += dyRow, x += xRow, dx += dxRow) {
    for (let c: usize = 0; c < pixel; c += 16) {
      const a = v128.load(p + c), b = v128.load(q + c), d = v128.load(r + c);
      let g = dy + c, s = x + c, o = dx + c;
      for (let i = 0; i < W; i++, g += pixel, s += pixel, o += pixel) {
        const value = madd(v128.load(g), a, madd(v128.load(s), b, d));
        v128.store(o, add ? f32x4.add(v128.load(o), value) : value);
      }
    }
  }
}

/** means[c] = the sum over its group's channels of sums / count, count values in a group; `C` channels in `groups` groups. */
export function groupMeans(sums: usize, C: i32, groups: i32, count: f64, means: usize): void {
  const width = <usize>(C / groups) << 2;
  for (let g: usize = 0; g < <usize>groups; g++) {
    let sum: f64 = 0;
    for (let c: usize = g * width; c < (g + 1) * width; c += 4) sum += <f64>load<f32>(sums + c);
    const mean = <f32>(sum / count);
    for (let c: usize = g * width; c < (g + 1) * width; c += 4) store<f32>(means + c, mean);
  }
}

/** deviation[c] = 1 / sqrt(variance + eps), scale = weight * deviation, shift = bias - mean * scale. */
export function normCoefficients(
  mean: usize, variance: usize, weight: usize, bias: usize, eps: f32, C: i32,
  deviation: usize, scale: usize, shift: usize,
): void {
  for (let c: usize = 0; c < <usize>C << 2; c += 4) {
    const inverse = <f32>1 / sqrt<f32>(load<f32>(variance + c) + eps);
    const s = load<f32>(weight + c) * inverse;
    store<f32>(deviation + c, inverse);
    store<f32>(scale + c, s);
    store<f32>(shift + c, load<f32>(bias + c) - load<f32>(mean + c) * s);
  }
}

/**
 * p, q, r of channelGradient, and the gradients of weight and bias, from sums of channelGradientSums; stride: bytes from sums of dy to
 * sums of dy (x - mean). `count` values in a group.
 */
export function normGradientCoefficients(
  sums: usize, stride: usize, mean: usize, deviation: usize, weight: usize, C: i32, groups: i32, count: f64,
  p: usize, q: usize, r: usize, dw: usize, db: usize,
): void {
  const width = <usize>(C / groups) << 2;
  for (let g: usize = 0; g < <usize>groups; g++) {
    let sum: f64 = 0, moment: f64 = 0;
    for (let c: usize = g * width; c < (g + 1) * width; c += 4) {
      const w = <f64>load<f32>(weight + c);
      sum += w * <f64>load<f32>(sums + c);
      moment += w * <f64>load<f32>(sums + stride + c) * <f64>load<f32>(deviation + c);
    }
    for (let c: usize = g * width; c < (g + 1) * width; c += 4) {
      const inverse = <f64>load<f32>(deviation + c);
      const slope = -inverse * inverse * moment / count;
      store<f32>(p + c, <f32>(<f64>load<f32>(weight + c) * inverse));
      store<f32>(q + c, <f32>slope);
      store<f32>(r + c, <f32>(-inverse * sum / count - <f64>load<f32>(mean + c) * slope));
      store<f32>(dw + c, <f32>(<f64>load<f32>(sums + stride + c) * inverse));
      store<f32>(db + c, load<f32>(sums + c));
    }
  }
}

/** running = (1 - momentum) * running + momentum * value * factor. */
export function blend(running: usize, value: usize, momentum: f64, factor: f64, C: i32): void {
  for (let c: usize = 0; c < <usize>C << 2; c += 4) {
    const kept = (1 - momentum) * <f64>load<f32>(running + c);
    store<f32>(running + c, <f32>(kept + momentum * factor * <f64>load<f32>(value + c)));
  }
}
