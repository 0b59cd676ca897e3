/**
 * @file Backward pass of conv 3x3 + bias + max-pool 2x2 + ReLU + dropout, for one image, over non-zero gradients only.
 *
 * A pooled output's gradient reaches one position of its window, and none where the ReLU or dropout made the activation
 * zero. So each pooled position and channel with a gradient g adds g * (input patch) to that channel's dW, and
 * g * (that channel's w) to dX at the patch; both are walks over lists (simd.ts).
 *
 * In all of them act and grad are the layer's output and its gradient, [H/2, H/2, CO], rows actRow and gradRow bytes
 * apart; the gradient counts where act > 0, times `scale` (1 / keep probability of dropout).
 */
import { accumulate24, accumulate48, ENTRY, madd } from './simd';

/** Pooled rows whose entries are gathered before dW is worked on: their part of x stays in the second-level cache. */
const STRIP: usize = 4;

/** Floats that are worked on together; a run of 3 CI is cut into blocks of this width. */
// @ts-ignore: decorator
@inline
function blockBytes(CI: i32): usize {
  return CI % 16 == 0 ? 192 : 96;
}

/** packed [3][3 CI / width][CO][width] from w [CO][3][3 CI]: what one walk reads lies together. */
export function packBackward(w: usize, packed: usize, CI: i32, CO: i32): void {
  const run = <usize>(3 * CI) << 2;
  const width = blockBytes(CI);
  for (let ky: usize = 0; ky < 3; ky++) {
    for (let i: usize = 0; i < run; i += width) {
      for (let c: usize = 0; c < <usize>CO; c++, packed += width) memory.copy(packed, w + (c * 3 + ky) * run + i, width);
    }
  }
}

/**
 * dw [CO][3][3][CI], db [CO] and dx [H+2, H+2, CI] (its border takes what falls outside the image), all overwritten.
 * x [H+2, H+2, CI]; w of packBackward; CI a multiple of 8. scratch: see backwardScratch in src/engine/ops/blocks.ts.
 */
export function convBackward(
  act: usize, actRow: usize, grad: usize, gradRow: usize, arg: usize, scale: f32, x: usize, w: usize,
  dx: usize, dw: usize, db: usize, H: i32, CI: i32, CO: i32, scratch: usize,
): void {
  const half = <usize>H >> 1;
  const row = <usize>((H + 2) * CI) << 2;
  const pixel = <usize>CI << 2;
  const width = blockBytes(CI);
  const channels = <usize>CO;
  const scales = f32x4.splat(scale);
  // One entry more than can be, of 64 bytes, so that neighbouring lists do not fight for the same cache lines.
  const pixelCapacity = channels * ENTRY + 64;
  const capacity = STRIP * half * ENTRY + 64;
  const ends = scratch, pixelEnds = ends + channels * 4;
  const pixelLists = pixelEnds + half * 16;
  const lists = pixelLists + half * 4 * pixelCapacity;
  memory.fill(dx, 0, <usize>(H + 2) * row);
  memory.fill(dw, 0, channels * pixel * 9);
  memory.fill(db, 0, channels * 4);
  for (let y: usize = 0; y < half; y++) {
    if (y % STRIP == 0) resetEnds(ends, lists, capacity, channels);
    resetEnds(pixelEnds, pixelLists, pixelCapacity, half * 4);
    for (let px: usize = 0; px < half; px++) {
      const base = y * 2 * row + px * 2 * pixel;
      const at = px * channels * 4;
      const a = act + y * actRow + at, g = grad + y * gradRow + at;
      const args = arg + (y * half + px) * channels;
      const tails = pixelEnds + px * 16;
      for (let c: usize = 0; c < channels; c += 8) {
        const g0 = gradient(a + c * 4, g + c * 4, scales), g1 = gradient(a + c * 4 + 16, g + c * 4 + 16, scales);
        addBias(db + c * 4, g0, g1);
        let mask = nonZero(g0, g1);
        while (mask != 0) {
          const lane = <usize>ctz(mask);
          mask &= mask - 1;
          const value = <u64>reinterpret<u32>(load<f32>(g + (c + lane) * 4) * scale) << 32;
          const position = <usize>load<u8>(args + c + lane);
          append(ends + (c + lane) * 4, value | <u64>(base + (position >> 1) * row + (position & 1) * pixel));
          append(tails + position * 4, value | <u64>((c + lane) * width));
        }
      }
    }
    inputGradient(dx + y * 2 * row, row, pixel, width, half, channels, w, pixelLists, pixelCapacity, pixelEnds);
    if (y % STRIP == STRIP - 1 || y == half - 1) weightGradient(x, row, pixel, width, channels, dw, lists, capacity, ends);
  }
}

/**
 * convBackward for the first block: one input channel, whose gradient nobody needs. dw [CO][3][3]; sums: scratch of
 * 16 * CO floats. Reads up to 4 bytes past the last row of x.
 */
export function convBackward1(
  act: usize, actRow: usize, grad: usize, gradRow: usize, arg: usize, x: usize, dw: usize, db: usize,
  H: i32, CO: i32, sums: usize,
): void {
  const half = <usize>H >> 1;
  const row = <usize>(H + 2) << 2;
  const channels = <usize>CO;
  const one = f32x4.splat(1);
  memory.fill(sums, 0, channels * 64);
  memory.fill(db, 0, channels * 4);
  for (let y: usize = 0; y < half; y++) {
    for (let px: usize = 0; px < half; px++) {
      const patch = x + y * 2 * row + px * 8;
      const at = px * channels * 4;
      const a = act + y * actRow + at, g = grad + y * gradRow + at;
      const args = arg + (y * half + px) * channels;
      for (let c: usize = 0; c < channels; c += 8) {
        const g0 = gradient(a + c * 4, g + c * 4, one), g1 = gradient(a + c * 4 + 16, g + c * 4 + 16, one);
        addBias(db + c * 4, g0, g1);
        let mask = nonZero(g0, g1);
        while (mask != 0) {
          const channel = c + <usize>ctz(mask);
          mask &= mask - 1;
          const factor = v128.load32_splat(g + channel * 4);
          const position = <usize>load<u8>(args + channel);
          const s = patch + (position >> 1) * row + (position & 1) * 4;
          const sum = sums + channel * 64;
          v128.store(sum, madd(factor, v128.load(s), v128.load(sum)));
          v128.store(sum, madd(factor, v128.load(s + row), v128.load(sum, 16)), 16);
          v128.store(sum, madd(factor, v128.load(s + row * 2), v128.load(sum, 32)), 32);
        }
      }
    }
  }
  for (let c: usize = 0; c < channels; c++) {
    for (let ky: usize = 0; ky < 3; ky++) memory.copy(dw + (c * 3 + ky) * 12, sums + c * 64 + ky * 16, 12);
  }
}

/** 4 gradients, 0 where the activation is. */
// @ts-ignore: decorator
@inline
function gradient(act: usize, grad: usize, scale: v128): v128 {
  return v128.and(f32x4.mul(v128.load(grad), scale), f32x4.gt(v128.load(act), f32x4.splat(0)));
}

// @ts-ignore: decorator
@inline
function addBias(db: usize, g0: v128, g1: v128): void {
  v128.store(db, f32x4.add(v128.load(db), g0));
  v128.store(db, f32x4.add(v128.load(db, 16), g1), 16);
}

/** One bit for each of 8 values that is not 0. */
// @ts-ignore: decorator
@inline
function nonZero(g0: v128, g1: v128): i32 {
  const zero = f32x4.splat(0);
  return i16x8.bitmask(i16x8.narrow_i32x4_s(f32x4.ne(g0, zero), f32x4.ne(g1, zero)));
}

// @ts-ignore: decorator
@inline
function append(tail: usize, entry: u64): void {
  const end = <usize>load<u32>(tail);
  store<u64>(end, entry);
  store<u32>(tail, <u32>(end + ENTRY));
}

function resetEnds(ends: usize, lists: usize, capacity: usize, count: usize): void {
  for (let i: usize = 0; i < count; i++) store<u32>(ends + i * 4, <u32>(lists + i * capacity));
}

/** dx += sum of g * w[channel] at the patches of one pooled row; one block of w at a time, so that it stays close. */
function inputGradient(
  dx: usize, row: usize, pixel: usize, width: usize, half: usize, channels: usize, w: usize,
  lists: usize, capacity: usize, ends: usize,
): void {
  const run = pixel * 3;
  for (let ky: usize = 0; ky < 3; ky++) {
    for (let i: usize = 0; i < run; i += width, w += channels * width) {
      for (let n: usize = 0; n < half * 4; n++) {
        const list = lists + n * capacity, end = <usize>load<u32>(ends + n * 4);
        if (list == end) continue;
        const target = dx + ((n >> 1 & 1) + ky) * row + ((n >> 2) * 2 + (n & 1)) * pixel + i;
        if (width == 192) accumulate48(target, w, list, end);
        else accumulate24(target, w, list, end);
      }
    }
  }
}

/** dw += sum of g * patch, from the lists by channel. */
function weightGradient(
  x: usize, row: usize, pixel: usize, width: usize, channels: usize, dw: usize,
  lists: usize, capacity: usize, ends: usize,
): void {
  const run = pixel * 3;
  for (let ky: usize = 0; ky < 3; ky++) {
    for (let i: usize = 0; i < run; i += width) {
      const source = x + ky * row + i;
      for (let c: usize = 0; c < channels; c++) {
        const target = dw + (c * 3 + ky) * run + i;
        const list = lists + c * capacity, end = <usize>load<u32>(ends + c * 4);
        if (width == 192) accumulate48(target, source, list, end);
        else accumulate24(target, source, list, end);
      }
    }
  }
}
