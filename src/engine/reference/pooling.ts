/** @file Pooling of the oracle. */
import { type Batch, batchOf, type Evaluated } from './tensor.ts';
import { type Windows, windowed } from './windows.ts';

/** The largest of each window; of equals the first in row-major order, which also takes the gradient. Padding never wins. */
export function maxPool2d(layer: Windows, x: Batch): Evaluated {
  const { channels, height, width } = x.shape;
  const { taps, ...size } = windowed(layer, x.shape);
  const y = batchOf(x.images, { channels, ...size });
  const argmax = new Int32Array(y.data.length).fill(-1);
  for (let plane = 0; plane < x.images * channels; plane++)
    for (const tap of taps) {
      const out = plane * size.height * size.width + tap.out;
      const from = plane * height * width + tap.from;
      if (argmax[out]! < 0 || x.data[from]! > x.data[argmax[out]!]!) argmax[out] = from;
    }
  for (const [out, from] of argmax.entries()) y.data[out] = x.data[from]!;
  const backward = (gY: Float64Array) => {
    const gX = new Float64Array(x.data.length);
    for (const [out, from] of argmax.entries()) gX[from]! += gY[out]!;
    return { gX };
  };
  return { y, backward };
}

/** The sum of each window by the kernel's area, whether padding or not (count_include_pad, PyTorch's default). */
export function avgPool2d(layer: Windows, x: Batch): Evaluated {
  const { channels, height, width } = x.shape;
  const { taps, ...size } = windowed(layer, x.shape);
  const area = layer.kernel_size[0] * layer.kernel_size[1];
  const y = batchOf(x.images, { channels, ...size });
  const eachTap = (visit: (out: number, from: number) => void): void => {
    for (let plane = 0; plane < x.images * channels; plane++)
      for (const tap of taps) visit(plane * size.height * size.width + tap.out, plane * height * width + tap.from);
  };
  eachTap((out, from) => (y.data[out]! += x.data[from]! / area));
  const backward = (gY: Float64Array) => {
    const gX = new Float64Array(x.data.length);
    eachTap((out, from) => (gX[from]! += gY[out]! / area));
    return { gX };
  };
  return { y, backward };
}

/** The mean of each channel over the image. */
export const globalAvgPool = (x: Batch): Evaluated =>
  avgPool2d({ kernel_size: [x.shape.height, x.shape.width], padding: [0, 0] }, x);
