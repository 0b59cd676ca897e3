/**
 * @file The oracle of the tests: the same network in plain double-precision TypeScript, dense and unfused, in PyTorch's
 * layouts. Written like the equations, not for speed.
 */
import type { ParameterSet } from '../base/index.ts';
import { blocksOf, fusedForm } from './fused.ts';
import type { Network } from './network.ts';

export type Doubles = ReadonlyMap<string, Float64Array>;

export interface ReferenceBatch {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** Keep factors of a block's output [C, H, W] for one image: 0, or 1 / keep probability. */
export type Mask = (image: number, block: number, channel: number, y: number, x: number) => number;

export const toDoubles = (parameters: ParameterSet): Map<string, Float64Array> =>
  new Map([...parameters].map(([name, { data }]) => [name, Float64Array.from(data)]));

/** Mean cross-entropy, P(class 1) per image, and the gradient of every parameter. */
export function referenceStep(
  network: Network,
  parameters: Doubles,
  { images, labels }: ReferenceBatch,
  mask: Mask = () => 1,
): { loss: number; probabilities: number[]; gradients: Doubles } {
  const gradients = new Map([...parameters].map(([name, data]) => [name, new Float64Array(data.length)]));
  const p = (name: string): Float64Array => parameters.get(name)!;
  const d = (name: string): Float64Array => gradients.get(name)!;
  const fused = fusedForm(network)!;
  const { imageSize: size, hidden: N } = fused;
  const { mean, std } = network.normalisation;
  const blocks = blocksOf(fused);
  const probabilities: number[] = [];
  let loss = 0;
  for (const [b, label] of labels.entries()) {
    const pixels = images.subarray(b * size * size, (b + 1) * size * size);
    const inputs = [Float64Array.from(pixels, (value) => (value / 255 - mean) / std)];
    const pools = blocks.map((block, i) => {
      const name = `conv${i + 1}`;
      const z = conv(inputs[i]!, p(`${name}.weight`), p(`${name}.bias`), block.size, block.inputs, block.outputs);
      const pool = maxPoolRelu(z, block.size, block.outputs);
      const half = block.size / 2;
      const factors = Float64Array.from(pool.values, (_, e) =>
        mask(b, i, Math.floor(e / half ** 2), Math.floor((e % half ** 2) / half), e % half),
      );
      inputs.push(pool.values.map((value, e) => value * factors[e]!));
      return { ...pool, factors };
    });
    const x = inputs.at(-1)!;
    const h = matVec(p('fc1.weight'), x, p('fc1.bias')).map((value) => Math.max(0, value));
    const logits = matVec(p('fc2.weight'), h, p('fc2.bias'));
    const odds = Math.exp(logits[1]! - logits[0]!);
    const p1 = odds / (1 + odds);
    probabilities.push(p1);
    loss -= Math.log(label === 1 ? p1 : 1 - p1) / labels.length;

    const gLogits = [(label === 1 ? 1 - p1 : -p1) / labels.length, (label === 1 ? p1 - 1 : p1) / labels.length];
    const gH = outerBackward(p('fc2.weight'), d('fc2.weight'), d('fc2.bias'), h, gLogits);
    const gX = outerBackward(
      p('fc1.weight'),
      d('fc1.weight'),
      d('fc1.bias'),
      x,
      Array.from({ length: N }, (_, n) => (h[n]! > 0 ? gH[n]! : 0)),
    );
    let g = gX;
    for (const [i, block] of [...blocks.entries()].reverse()) {
      const { values, arg, factors } = pools[i]!;
      const gZ = new Float64Array(block.size ** 2 * block.outputs);
      for (const [e, value] of values.entries()) if (value > 0) gZ[arg[e]!]! += g[e]! * factors[e]!;
      const name = `conv${i + 1}`;
      g = convBackward(inputs[i]!, p(`${name}.weight`), d(`${name}.weight`), d(`${name}.bias`), gZ, block);
    }
  }
  return { loss, probabilities, gradients };
}

function* taps(size: number, inputs: number, outputs: number) {
  for (let o = 0; o < outputs; o++)
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++)
        for (let i = 0; i < inputs; i++)
          for (let ky = 0; ky < 3; ky++)
            for (let kx = 0; kx < 3; kx++) {
              const [sy, sx] = [y + ky - 1, x + kx - 1];
              if (sy < 0 || sy >= size || sx < 0 || sx >= size) continue;
              yield [
                (o * size + y) * size + x,
                (i * size + sy) * size + sx,
                (o * inputs + i) * 9 + ky * 3 + kx,
              ] as const;
            }
}

function conv(
  x: Float64Array,
  w: Float64Array,
  bias: Float64Array,
  size: number,
  inputs: number,
  outputs: number,
): Float64Array {
  const z = Float64Array.from({ length: outputs * size ** 2 }, (_, e) => bias[Math.floor(e / size ** 2)]!);
  for (const [at, from, tap] of taps(size, inputs, outputs)) z[at]! += x[from]! * w[tap]!;
  return z;
}

function convBackward(
  x: Float64Array,
  w: Float64Array,
  dw: Float64Array,
  db: Float64Array,
  gZ: Float64Array,
  { size, inputs, outputs }: { size: number; inputs: number; outputs: number },
): Float64Array {
  const gX = new Float64Array(inputs * size ** 2);
  for (const [at, from, tap] of taps(size, inputs, outputs)) {
    dw[tap]! += gZ[at]! * x[from]!;
    gX[from]! += gZ[at]! * w[tap]!;
  }
  for (const [at, g] of gZ.entries()) db[Math.floor(at / size ** 2)]! += g;
  return gX;
}

/** ReLU, then the largest of each 2x2 window; arg is its index in z, the first of equals in row-major order. */
function maxPoolRelu(z: Float64Array, size: number, channels: number): { values: Float64Array; arg: Int32Array } {
  const half = size / 2;
  const values = new Float64Array(channels * half ** 2);
  const arg = new Int32Array(values.length);
  for (const e of values.keys()) {
    const [c, y, x] = [Math.floor(e / half ** 2), Math.floor((e % half ** 2) / half), e % half];
    const first = (c * size + 2 * y) * size + 2 * x;
    arg[e] = first;
    for (const at of [first + 1, first + size, first + size + 1]) if (z[at]! > z[arg[e]!]!) arg[e] = at;
    values[e] = Math.max(0, z[arg[e]!]!);
  }
  return { values, arg };
}

/** W x + bias, W [N, K]. */
const matVec = (w: Float64Array, x: Float64Array, bias: Float64Array): Float64Array =>
  bias.map((b, n) => x.reduce((sum, value, k) => sum + value * w[n * x.length + k]!, b));

/** Adds g x^T to dW and g to db; returns W^T g. */
function outerBackward(
  w: Float64Array,
  dw: Float64Array,
  db: Float64Array,
  x: Float64Array,
  g: readonly number[],
): Float64Array {
  const gX = new Float64Array(x.length);
  for (const [n, gn] of g.entries()) {
    db[n]! += gn;
    for (let k = 0; k < x.length; k++) {
      dw[n * x.length + k]! += gn * x[k]!;
      gX[k]! += gn * w[n * x.length + k]!;
    }
  }
  return gX;
}
