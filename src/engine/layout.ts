/**
 * @file Between PyTorch's layouts and the kernels': conv weights [CO, CI, 3, 3] <-> [CO, 3, 3, CI], and
 * fc1.weight [N, (C, H, W)] <-> [N/32, (H, W, C), 32].
 */

/** Copies between a PyTorch array and a kernel array, one way or the other. */
export type Direction = 'fromTorch' | 'toTorch';

export function convertConv(
  torch: Float32Array,
  kernel: Float32Array,
  outputs: number,
  inputs: number,
  direction: Direction,
): void {
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let tap = 0; tap < 9; tap++) {
        const a = (o * inputs + i) * 9 + tap;
        const b = (o * 9 + tap) * inputs + i;
        if (direction === 'fromTorch') kernel[b] = torch[a]!;
        else torch[a] = kernel[b]!;
      }
    }
  }
}

/** `pixels` is H * W of the features, `channels` their C. */
export function convertDense(
  torch: Float32Array,
  kernel: Float32Array,
  hidden: number,
  pixels: number,
  channels: number,
  direction: Direction,
): void {
  const K = pixels * channels;
  // A cache line's worth of pixels at a time, because the 32 rows of a block are often a multiple of 4096 bytes apart.
  const tile = 8;
  for (let block = 0; block < hidden / 32; block++) {
    for (let channel = 0; channel < channels; channel++) {
      for (let first = 0; first < pixels; first += tile) {
        const last = Math.min(pixels, first + tile);
        for (let n = 0; n < 32; n++) {
          const row = (block * 32 + n) * K + channel * pixels;
          const column = (block * K + channel) * 32 + n;
          for (let pixel = first; pixel < last; pixel++) {
            if (direction === 'fromTorch') kernel[column + pixel * channels * 32] = torch[row + pixel]!;
            else torch[row + pixel] = kernel[column + pixel * channels * 32]!;
          }
        }
      }
    }
  }
}
