/** @file What the engine's tests share: the fixtures' generator (fixtures/make.py), drawn models and batches, distances. */
import { elementCount, type ParameterSet, philox4x32 } from '../base/index.ts';
import type { LabelledImages } from './engine.ts';
import { flatten } from './graph.ts';
import { type Network, parameterShapes } from './network.ts';
import { dropoutThreshold } from './ops/elementwise.ts';
import type { Mask } from './reference.ts';

/** Uniform numbers in [0, 1): Numerical Recipes' ranqd1, upper 24 bits, as in fixtures/make.py. */
export function lcg(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}

/**
 * Parameters and buffers of fixtures/make.py. Scales of norms and running variances: U(0.5, 1.5); weights: U(+-sqrt(3 / fan in));
 * everything else: U(+-sqrt(3 / 16)).
 */
export function drawnParameters(network: Network, uniform: () => number): ParameterSet {
  return new Map(
    [...parameterShapes(network)].map(([name, shape]) => {
      const bound = Math.sqrt(3 / (shape.length > 1 ? elementCount(shape.slice(1)) : 16));
      const scale = shape.length === 1 && /\.(weight|running_var)$/.test(name);
      const draw = (): number => (scale ? 0.5 + uniform() : (uniform() * 2 - 1) * bound);
      return [name, { shape, data: Float32Array.from({ length: elementCount(shape) }, draw) }];
    }),
  );
}

/** Images of fixtures/make.py: a third black, a third flat squares, a third noise; ties for the max-pool. */
export function drawnImages(count: number, size: number, uniform: () => number): Uint8Array {
  const noise = Array.from({ length: count * size * size }, uniform);
  return Uint8Array.from(noise, (value, at) => {
    const [y, x] = [Math.floor(at / size) % size, at % size];
    if (x < Math.floor(size / 3)) return 0;
    const flat = x < Math.floor((2 * size) / 3);
    return Math.floor((flat ? noise[at - (y % 4) * size - (x % 4)]! : value) * 256);
  });
}

export const drawnLabels = (count: number, uniform: () => number): Uint8Array =>
  Uint8Array.from({ length: count }, () => Math.floor(uniform() * 2));

/** A drawn model and batch for a network. */
export function drawnCase(
  network: Network,
  images: number,
  seed: number,
): { parameters: ParameterSet; batch: LabelledImages } {
  const uniform = lcg(seed);
  const parameters = drawnParameters(network, uniform);
  const pixels = drawnImages(images, network.imageSize, uniform);
  return { parameters, batch: { images: pixels, labels: drawnLabels(images, uniform) } };
}

/**
 * The dropout that dropout.ts promises, from base's Philox: element e = (y W + x) C + c of image i, C rounded up to a multiple of 4,
 * by 16 bits of Philox4x32-10(counter = [e / 8, i, index of the dropout's node, 0], key).
 */
export function dropoutMask(network: Network, key: readonly [number, number]): Mask {
  const { nodes, shapes } = flatten(network.layers, network.imageSize);
  const words = new Uint32Array(4);
  return (image, node, channel, y, x) => {
    const { layer, output } = nodes[node]!;
    const threshold = dropoutThreshold(layer.op === 'dropout' ? layer.p : 0);
    const { channels, width } = shapes[output]!;
    const element = (y * width + x) * Math.ceil(channels / 4) * 4 + channel;
    philox4x32(element >> 3, image, node, 0, key, words);
    const bits = (words[(element >> 1) & 3]! >>> (16 * (element & 1))) & 0xffff;
    return bits < threshold ? 0 : 1 / (1 - threshold / 65536);
  };
}

/** |a - b| / |b| over all elements; 0 where they are equal, also when all are 0. */
export function relativeDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}
