/**
 * @file Backward pass of conv 3x3 + bias + max-pool 2x2 + ReLU + dropout, for one image, over non-zero gradients only.
 *
 * A pooled output's gradient reaches one position of its window, and none where the ReLU or dropout made the activation
 * zero. So each pooled position and channel with a gradient g adds g * (input patch) to that channel's dW, and
 * g * (that channel's w) to dX at the patch; both are walks over lists (simd.ts).
 */
import { accumulate24, accumulate48, ENTRY, madd } from './simd';

/**
 * Lists the non-zero gradients by channel, and where `dx` is not 0 writes the gradient of the input to dx
 * [H+2, H+2, CI] (its border takes what falls outside the image).
 *
 * act, grad: the layer's output and its gradient, [H/2, H/2, CO], rows actRow and gradRow bytes apart; the gradient
 * counts where act > 0, times `scale` (1 / keep probability of dropout). w [CO][3][3][CI]. lists: per channel `capacity`
 * bytes of (offset of the patch in x, g); ends u32 [CO]: where each list ends. pixelLists: 4 * CO entries of scratch.
 */
export function scatter(
  act: usize, actRow: usize, grad: usize, gradRow: usize, arg: usize, scale: f32,
  w: usize, dx: usize, H: i32, CI: i32, CO: i32,
  lists: usize, capacity: usize, ends: usize, pixelLists: usize,
): void {
  const half = H >> 1;
  const row = <usize>((H + 2) * CI) << 2;
  const pixel = <usize>CI << 2;
  const kernel = pixel * 9;
  const pixelCapacity = <usize>CO * ENTRY;
  if (dx != 0) memory.fill(dx, 0, <usize>(H + 2) * row);
  for (let c = 0; c < CO; c++) store<u32>(ends + (<usize>c << 2), <u32>(lists + <usize>c * capacity));
  for (let y = 0; y < half; y++) {
    for (let x = 0; x < half; x++) {
      let end0 = pixelLists, end1 = end0 + pixelCapacity, end2 = end1 + pixelCapacity, end3 = end2 + pixelCapacity;
      const base = <usize>(2 * y) * row + <usize>(2 * x) * pixel;
      const at = <usize>(x * CO) << 2;
      const a = act + <usize>y * actRow + at, g = grad + <usize>y * gradRow + at;
      for (let c: usize = 0; c < <usize>CO; c++) {
        if (load<f32>(a + (c << 2)) == 0) continue;
        const value = load<f32>(g + (c << 2)) * scale;
        if (value == 0) continue;
        const position = <usize>load<u8>(arg + c);
        const endAt = ends + (c << 2);
        const end = <usize>load<u32>(endAt);
        store<u32>(end, <u32>(base + (position >> 1) * row + (position & 1) * pixel));
        store<f32>(end, value, 4);
        store<u32>(endAt, <u32>(end + ENTRY));
        if (dx != 0) {
          let slot: usize;
          if (position == 0) { slot = end0; end0 += ENTRY; }
          else if (position == 1) { slot = end1; end1 += ENTRY; }
          else if (position == 2) { slot = end2; end2 += ENTRY; }
          else { slot = end3; end3 += ENTRY; }
          store<u32>(slot, <u32>(c * kernel));
          store<f32>(slot, value, 4);
        }
      }
      arg += CO;
      if (dx != 0) {
        const d = dx + base;
        addPatch(d, row, pixel, w, pixelLists, end0);
        addPatch(d + pixel, row, pixel, w, pixelLists + pixelCapacity, end1);
        addPatch(d + row, row, pixel, w, pixelLists + pixelCapacity * 2, end2);
        addPatch(d + row + pixel, row, pixel, w, pixelLists + pixelCapacity * 3, end3);
      }
    }
  }
}

/** dx patch [3][3 CI] += sum over the list of g * w[channel]. */
function addPatch(dx: usize, row: usize, pixel: usize, w: usize, list: usize, end: usize): void {
  if (list == end) return;
  const run = pixel * 3;
  for (let ky: usize = 0; ky < 3; ky++) {
    let i: usize = 0;
    for (; i + 192 <= run; i += 192) accumulate48(dx + ky * row + i, w + ky * run + i, list, end);
    if (i < run) accumulate24(dx + ky * row + i, w + ky * run + i, list, end);
  }
}

/** dw [CO][3][3][CI] and db [CO] from the lists that scatter made; both are overwritten. CI a multiple of 8. */
export function weightGradient(
  x: usize, lists: usize, capacity: usize, ends: usize, dw: usize, db: usize, H: i32, CI: i32, CO: i32,
): void {
  const row = <usize>((H + 2) * CI) << 2;
  const run = <usize>(3 * CI) << 2;
  memory.fill(dw, 0, run * 3 * <usize>CO);
  for (let c: usize = 0; c < <usize>CO; c++) {
    const list = lists + c * capacity, end = <usize>load<u32>(ends + (c << 2));
    store<f32>(db + (c << 2), sumFactors(list, end));
    for (let ky: usize = 0; ky < 3; ky++) {
      let i: usize = 0;
      for (; i + 192 <= run; i += 192) accumulate48(dw + i, x + ky * row + i, list, end);
      if (i < run) accumulate24(dw + i, x + ky * row + i, list, end);
      dw += run;
    }
  }
}

/** weightGradient for one input channel: dw [CO][3][3]. Reads up to 4 bytes past the last row of x. */
export function weightGradient1(
  x: usize, lists: usize, capacity: usize, ends: usize, dw: usize, db: usize, H: i32, CO: i32,
): void {
  const row = <usize>(H + 2) << 2;
  for (let c: usize = 0; c < <usize>CO; c++) {
    const list = lists + c * capacity, end = <usize>load<u32>(ends + (c << 2));
    store<f32>(db + (c << 2), sumFactors(list, end));
    let k0 = f32x4.splat(0), k1 = k0, k2 = k0;
    for (let entry = list; entry < end; entry += ENTRY) {
      const s = x + <usize>load<u32>(entry);
      const factor = v128.load32_splat(entry, 4);
      k0 = madd(factor, v128.load(s), k0);
      k1 = madd(factor, v128.load(s + row), k1);
      k2 = madd(factor, v128.load(s + row * 2), k2);
    }
    storeThree(dw, k0);
    storeThree(dw + 12, k1);
    storeThree(dw + 24, k2);
    dw += 36;
  }
}

// @ts-ignore: decorator
@inline
function storeThree(to: usize, v: v128): void {
  store<f32>(to, f32x4.extract_lane(v, 0));
  store<f32>(to, f32x4.extract_lane(v, 1), 4);
  store<f32>(to, f32x4.extract_lane(v, 2), 8);
}

function sumFactors(list: usize, end: usize): f32 {
  let sum: f32 = 0;
  for (let entry = list; entry < end; entry += ENTRY) sum += load<f32>(entry, 4);
  return sum;
}
