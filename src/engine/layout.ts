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
  for (let block = 0; block < hidden / 32; block++) {
    for (let channel = 0; channel < channels; channel++) {
      for (let pixel = 0; pixel < pixels; pixel++) {
        const b = (block * K + pixel * channels + channel) * 32;
        const a = block * 32 * K + channel * pixels + pixel;
        if (direction === 'fromTorch') for (let n = 0; n < 32; n++) kernel[b + n] = torch[a + n * K]!;
        else for (let n = 0; n < 32; n++) torch[a + n * K] = kernel[b + n]!;
      }
    }
  }
}
