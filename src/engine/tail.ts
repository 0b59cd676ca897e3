/**
 * @file The tail of a network: what follows its last feature map, down to the logits. Few multiplications beside the rest, so plain
 * TypeScript in double precision, for one image, with the gradient of the log odds with respect to that map.
 *
 * All tensors behind the last feature map are [C, 1, 1]; a layer that reads the map itself makes one of them out of [C, H, W].
 */
import { fail, type ParameterSet } from '../base/index.ts';
import { erf } from './erf.ts';
import { elements, flatten, type NetworkGraph, type Node, type Shape } from './graph.ts';
import type { Conv2d } from './layers.ts';
import type { Network } from './network.ts';

/**
 * The last tensor of the graph with more than one position, after ReLU, pool and dropout: what a class activation map is made of.
 * Throws FedradError where there is none behind a layer, or where the tail also reads another one.
 */
export function lastFeatureMap({ nodes, shapes }: NetworkGraph): number {
  const map = shapes.findLastIndex(({ height, width }) => height * width > 1);
  if (map < 1) fail('network', 'it has no feature map: no layer keeps more than one position', 'explain another one');
  const other = nodes.slice(map).find(({ inputs }) => inputs.some((tensor) => tensor < map));
  if (other)
    fail(`network: ${other.place}`, 'it also reads what lies before the last feature map', 'explain another one');
  return map;
}

export interface Tail {
  /** Of the feature map that it reads. */
  readonly shape: Shape;
  /** log P / (1 - P), P = P(class 1), of a feature map [C, H, W], and its gradient with respect to that map. */
  logOdds(features: Float64Array): { readonly value: number; readonly gradient: Float64Array };
}

/** The tail of this network with these parameters, without dropout. */
export function tailOf(network: Network, parameters: ParameterSet): Tail {
  const graph = flatten(network.layers, network.imageSize);
  const map = lastFeatureMap(graph);
  const nodes = graph.nodes.slice(map);
  return {
    shape: graph.shapes[map]!,
    logOdds(features) {
      const tensors = new Map<number, Float64Array>([[map, features]]);
      const passes = nodes.map((node) => {
        const shape = graph.shapes[node.inputs[0]!]!;
        const pass = evaluate(
          node,
          shape,
          node.inputs.map((tensor) => tensors.get(tensor)!),
          parameters,
        );
        tensors.set(node.output, pass.y);
        return pass;
      });
      const logits = tensors.get(nodes.at(-1)!.output)!;
      // With two classes P depends on the difference of the logits alone.
      const gradients = new Map<number, Float64Array>([[nodes.at(-1)!.output, Float64Array.of(-1, 1)]]);
      for (const [index, { inputs, output }] of [...nodes.entries()].reverse()) {
        const gradient = gradients.get(output);
        if (!gradient) continue;
        const back = passes[index]!.backward(gradient);
        for (const tensor of inputs) {
          const sum = gradients.get(tensor);
          gradients.set(tensor, sum ? sum.map((value, e) => value + back[e]!) : back);
        }
      }
      return { value: logits[1]! - logits[0]!, gradient: gradients.get(map)! };
    },
  };
}

/** y = f(x), and from dL/dy to dL/dx; the two inputs of an addition have the same. */
interface Pass {
  readonly y: Float64Array;
  readonly backward: (gradient: Float64Array) => Float64Array;
}

function evaluate({ layer }: Node, shape: Shape, inputs: readonly Float64Array[], parameters: ParameterSet): Pass {
  const x = inputs[0]!;
  const data = (name: string): Float32Array | undefined => parameters.get(name)?.data;
  switch (layer.op) {
    case 'linear':
      return linear(x, data(`${layer.name}.weight`)!, data(`${layer.name}.bias`), layer.out_features);
    case 'conv2d':
      return linear(
        x,
        denseWeights(layer, shape, data(`${layer.name}.weight`)!),
        data(`${layer.name}.bias`),
        layer.out_channels,
      );
    case 'max_pool2d':
      return pick(x, window(layer, shape), shape);
    case 'avg_pool2d':
      return average(x, window(layer, shape), shape, layer.kernel_size[0] * layer.kernel_size[1]);
    case 'global_avg_pool':
      return average(
        x,
        Array.from({ length: shape.height * shape.width }, (_, at) => ({ at, tap: at })),
        shape,
        shape.height * shape.width,
      );
    case 'batch_norm2d': {
      const [w, b, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
        (kind) => data(`${layer.name}.${kind}`)!,
      );
      const scale = x.map((_, c) => w![c]! / Math.sqrt(variance![c]! + layer.eps));
      return {
        y: x.map((value, c) => (value - mean![c]!) * scale[c]! + b![c]!),
        backward: (g) => g.map((value, c) => value * scale[c]!),
      };
    }
    case 'group_norm':
      return groupNorm(x, data(`${layer.name}.weight`)!, data(`${layer.name}.bias`)!, layer.num_groups, layer.eps);
    case 'relu':
      return pointwise(
        x,
        (value) => Math.max(0, value),
        (value) => Number(value > 0),
      );
    case 'gelu': {
      const share = (value: number): number => (1 + erf(value * Math.SQRT1_2)) / 2;
      const density = (value: number): number => Math.exp((-value * value) / 2) / Math.sqrt(2 * Math.PI);
      return pointwise(
        x,
        (value) => value * share(value),
        (value) => share(value) + value * density(value),
      );
    }
    case 'dropout':
      return { y: x, backward: (g) => g };
    case 'add':
      return { y: x.map((value, e) => value + inputs[1]![e]!), backward: (g) => g };
  }
}

function pointwise(x: Float64Array, f: (value: number) => number, slope: (value: number) => number): Pass {
  return { y: x.map((value) => f(value)), backward: (g) => g.map((value, e) => value * slope(x[e]!)) };
}

/** y = W x + b, W [N, K]; rows without a gradient are skipped: behind a ReLU about half of them. */
function linear(
  x: Float64Array,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | undefined,
  outputs: number,
): Pass {
  const K = x.length;
  const y = new Float64Array(outputs);
  for (let n = 0; n < outputs; n++) {
    let sum = bias?.[n] ?? 0;
    for (let k = 0, at = n * K; k < K; k++, at++) sum += weight[at]! * x[k]!;
    y[n] = sum;
  }
  return {
    y,
    backward: (g) => {
      const gX = new Float64Array(K);
      for (let n = 0; n < outputs; n++) {
        const gradient = g[n]!;
        if (gradient === 0) continue;
        for (let k = 0, at = n * K; k < K; k++, at++) gX[k]! += gradient * weight[at]!;
      }
      return gX;
    },
  };
}

/** What the one window of a layer with one output position covers: positions of the image, and of the kernel. */
function window(
  { kernel_size: [rows, columns], padding }: Pick<Conv2d, 'kernel_size' | 'padding'>,
  { height, width }: Shape,
): { readonly at: number; readonly tap: number }[] {
  return Array.from({ length: rows * columns }, (_, tap) => {
    const [y, x] = [Math.floor(tap / columns) - padding[0], (tap % columns) - padding[1]];
    return { at: y * width + x, tap, inside: y >= 0 && y < height && x >= 0 && x < width };
  }).filter(({ inside }) => inside);
}

/** The weights of a convolution with one output position as those of a linear layer, [O, C H W]. */
function denseWeights(layer: Conv2d, shape: Shape, weight: Float32Array): Float64Array {
  const taps = window(layer, shape);
  const [K, area] = [elements(shape), layer.kernel_size[0] * layer.kernel_size[1]];
  const [pixels, inputs] = [shape.height * shape.width, shape.channels / layer.groups];
  const dense = new Float64Array(layer.out_channels * K);
  for (let o = 0; o < layer.out_channels; o++) {
    const first = Math.floor((o * layer.groups) / layer.out_channels) * inputs;
    for (let i = 0; i < inputs; i++)
      for (const { at, tap } of taps) dense[o * K + (first + i) * pixels + at] = weight[(o * inputs + i) * area + tap]!;
  }
  return dense;
}

/** Sum over the window of each channel, by `area`: padding counts as zeros. */
function average(x: Float64Array, taps: readonly { readonly at: number }[], shape: Shape, area: number): Pass {
  const pixels = shape.height * shape.width;
  const y = new Float64Array(shape.channels);
  for (let c = 0; c < y.length; c++) for (const { at } of taps) y[c]! += x[c * pixels + at]! / area;
  return {
    y,
    backward: (g) => {
      const gX = new Float64Array(x.length);
      for (let c = 0; c < y.length; c++) for (const { at } of taps) gX[c * pixels + at] = g[c]! / area;
      return gX;
    },
  };
}

/** The largest of each channel's window, the first of equals. */
function pick(x: Float64Array, taps: readonly { readonly at: number }[], shape: Shape): Pass {
  const pixels = shape.height * shape.width;
  const from = Int32Array.from({ length: shape.channels }, (_, c) =>
    taps.map(({ at }) => c * pixels + at).reduce((best, at) => (x[at]! > x[best]! ? at : best)),
  );
  return {
    y: Float64Array.from(from, (at) => x[at]!),
    backward: (g) => {
      const gX = new Float64Array(x.length);
      for (const [c, at] of from.entries()) gX[at] = g[c]!;
      return gX;
    },
  };
}

function groupNorm(x: Float64Array, weight: Float32Array, bias: Float32Array, groups: number, eps: number): Pass {
  const size = x.length / groups;
  const mean = (values: Float64Array, group: number): number =>
    values.subarray(group * size, (group + 1) * size).reduce((sum, value) => sum + value, 0) / size;
  const groupOf = (c: number): number => Math.floor(c / size);
  const means = Float64Array.from({ length: groups }, (_, group) => mean(x, group));
  const squares = x.map((value, c) => (value - means[groupOf(c)]!) ** 2);
  const inverse = Float64Array.from({ length: groups }, (_, group) => 1 / Math.sqrt(mean(squares, group) + eps));
  const hat = x.map((value, c) => (value - means[groupOf(c)]!) * inverse[groupOf(c)]!);
  return {
    y: hat.map((value, c) => value * weight[c]! + bias[c]!),
    // The mean and the deviation move with x: their share is taken off.
    backward: (g) => {
      const gHat = g.map((value, c) => value * weight[c]!);
      const along = gHat.map((value, c) => value * hat[c]!);
      return gHat.map((value, c) => {
        const group = groupOf(c);
        return inverse[group]! * (value - mean(gHat, group) - hat[c]! * mean(along, group));
      });
    },
  };
}
