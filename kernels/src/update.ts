/** @file Sums the images' gradients in their order and takes the SGD step, for the small layers. */
import { update4 } from './dense';

/**
 * For bytes [from, to) of the parameters (both multiples of 16): gradient = sum over the `images` rows of `gradients`,
 * `stride` bytes apart, then the step of denseBackward. anchor 0: no proximal term.
 */
export function sumAndUpdate(
  gradients: usize, stride: usize, images: i32, w: usize, velocity: usize, anchor: usize,
  rate: f32, momentum: f32, mu: f32, from: usize, to: usize,
): void {
  const rates = f32x4.splat(rate), momenta = f32x4.splat(momentum), mus = f32x4.splat(mu);
  for (let at = from; at < to; at += 16) {
    let sum = f32x4.splat(0);
    let p = gradients + at;
    for (let image = 0; image < images; image++, p += stride) sum = f32x4.add(sum, v128.load(p));
    update4(w, velocity, anchor, sum, rates, momenta, mus, at);
  }
}
