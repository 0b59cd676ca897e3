/**
 * @file The optimisers' steps, exactly torch.optim's: SGD with momentum, Nesterov and weight decay; Adam (Kingma and Ba, ICLR
 * 2015); AdamW (Loshchilov and Hutter, ICLR 2019); each with FedProx's pull mu (w - anchor) in the gradient.
 *
 * `settings` is the address of 16 f32, the same for all parameters of a step; src/engine/update.ts writes them. `velocity` is SGD's
 * velocity or Adam's first moment, `second` Adam's second moment (0 for SGD), `anchor` 0 where nothing pulls.
 */
import { madd } from './simd';

/** Offsets into the settings; at 0 stands 0 for SGD with momentum and nothing else. */
export const RATE: usize = 4, MOMENTUM: usize = 8, MU: usize = 12;
const NESTEROV: usize = 16, DECAY: usize = 20, KEEP: usize = 24, BETA1: usize = 28;
const REST1: usize = 32, BETA2: usize = 36, REST2: usize = 40, EPS: usize = 44, CORRECTION2: usize = 48;

// @ts-ignore: decorator
@inline
export function isPlain(settings: usize): bool {
  return load<f32>(settings) == 0;
}

/** For `bytes` (rounded up to 16, which all arrays must reach) of parameters w with their gradient. */
export function updateRange(
  w: usize, velocity: usize, second: usize, anchor: usize, gradient: usize, bytes: usize, settings: usize,
): void {
  if (isPlain(settings)) {
    const rate = v128.load32_splat(settings, RATE), momentum = v128.load32_splat(settings, MOMENTUM);
    const mu = v128.load32_splat(settings, MU);
    for (let at: usize = 0; at < bytes; at += 16) {
      update4(w, velocity, anchor, v128.load(gradient + at), rate, momentum, mu, at);
    }
  } else if (second == 0) {
    for (let at: usize = 0; at < bytes; at += 16) sgd4(w, velocity, anchor, gradient, settings, at);
  } else {
    for (let at: usize = 0; at < bytes; at += 16) adam4(w, velocity, second, anchor, gradient, settings, at);
  }
}

/**
 * For bytes [from, to) of the parameters (both multiples of 16): gradient = sum over the `images` rows of `gradients`,
 * `stride` bytes apart, in their order. The sum takes the place of the first row.
 */
export function sumAndUpdate(
  gradients: usize, stride: usize, images: i32, w: usize, velocity: usize, second: usize, anchor: usize,
  from: usize, to: usize, settings: usize,
): void {
  for (let at = from; at < to; at += 16) {
    let sum = f32x4.splat(0);
    let p = gradients + at;
    for (let image = 0; image < images; image++, p += stride) sum = f32x4.add(sum, v128.load(p));
    v128.store(gradients + at, sum);
  }
  const secondFrom: usize = second == 0 ? <usize>0 : second + from;
  const anchorFrom: usize = anchor == 0 ? <usize>0 : anchor + from;
  updateRange(w + from, velocity + from, secondFrom, anchorFrom, gradients + from, to - from, settings);
}

/** velocity = momentum velocity + gradient; w -= rate velocity. */
// @ts-ignore: decorator
@inline
export function update4(
  w: usize, velocity: usize, anchor: usize, gradient: v128, rate: v128, momentum: v128, mu: v128, at: usize,
): void {
  const old = v128.load(w + at);
  let v = madd(momentum, v128.load(velocity + at), gradient);
  if (anchor != 0) v = madd(mu, f32x4.sub(old, v128.load(anchor + at)), v);
  v128.store(velocity + at, v);
  v128.store(w + at, f32x4.sub(old, f32x4.mul(rate, v)));
}

/** The gradient with weight decay and FedProx's pull. */
// @ts-ignore: decorator
@inline
function pulled(old: v128, anchor: usize, gradient: usize, s: usize, at: usize): v128 {
  const g = madd(v128.load32_splat(s, DECAY), old, v128.load(gradient + at));
  if (anchor == 0) return g;
  return madd(v128.load32_splat(s, MU), f32x4.sub(old, v128.load(anchor + at)), g);
}

/** SGD with weight decay or Nesterov's momentum. */
// @ts-ignore: decorator
@inline
function sgd4(w: usize, velocity: usize, anchor: usize, gradient: usize, s: usize, at: usize): void {
  const old = v128.load(w + at), momentum = v128.load32_splat(s, MOMENTUM);
  const g = pulled(old, anchor, gradient, s, at);
  const v = madd(momentum, v128.load(velocity + at), g);
  v128.store(velocity + at, v);
  const step = load<f32>(s, NESTEROV) != 0 ? madd(momentum, v, g) : v;
  v128.store(w + at, f32x4.sub(old, f32x4.mul(v128.load32_splat(s, RATE), step)));
}

/** Adam; AdamW by `keep` = 1 - learning rate * weight decay. */
// @ts-ignore: decorator
@inline
function adam4(w: usize, first: usize, second: usize, anchor: usize, gradient: usize, s: usize, at: usize): void {
  const old = v128.load(w + at);
  const g = pulled(old, anchor, gradient, s, at);
  const m = madd(v128.load32_splat(s, REST1), g, f32x4.mul(v128.load32_splat(s, BETA1), v128.load(first + at)));
  const squares = f32x4.mul(v128.load32_splat(s, REST2), f32x4.mul(g, g));
  const v = madd(v128.load32_splat(s, BETA2), v128.load(second + at), squares);
  v128.store(first + at, m);
  v128.store(second + at, v);
  const root = madd(v128.load32_splat(s, CORRECTION2), f32x4.sqrt(v), v128.load32_splat(s, EPS));
  const kept = f32x4.mul(v128.load32_splat(s, KEEP), old);
  v128.store(w + at, f32x4.sub(kept, f32x4.mul(v128.load32_splat(s, RATE), f32x4.div(m, root))));
}
