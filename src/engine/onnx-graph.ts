/**
 * @file A network as a graph of ONNX operators (github.com/onnx/onnx, docs/Operators.md, opset 17), from grey values to
 * probabilities. Shapes are [N, C, H, W] as PyTorch's, with any N, so its parameters are used as they are.
 */
import type { ParameterSet } from '../base/index.ts';
import { flatten, type Node, type Shape } from './graph.ts';
import type { Network } from './network.ts';

/** As ONNX's AttributeProto names them: a float, an int, a string, or ints. */
export type OnnxAttribute =
  | { readonly f: number }
  | { readonly i: number }
  | { readonly s: string }
  | { readonly ints: readonly number[] };

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  /** Also the name of the node. */
  readonly output: string;
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  /** Parameters under their names in the state_dict, and constants. */
  readonly initializers: readonly OnnxTensor[];
}

/** Names of the graph's input [N, 1, H, W] and outputs [N, 2]. */
export const ONNX_NAMES = { input: 'pixels', logits: 'logits', probabilities: 'probabilities' } as const;

/** Builds the graph of a network for inference: dropout is gone, batch norm uses its running statistics. */
export function onnxGraph(network: Network, parameters: ParameterSet): OnnxGraph {
  const { nodes: layers, shapes } = flatten(network.layers, network.imageSize);
  const nodes: OnnxNode[] = [];
  const initializers = new Map<string, OnnxTensor>();
  const emit: Emit = {
    node(op, inputs, output, attributes = {}) {
      nodes.push({ op, inputs, output, attributes });
      return output;
    },
    constant(name, data, dims = [data.length]) {
      initializers.set(name, { name, dims, data });
      return name;
    },
    parameter: (name, dims) => {
      const { shape, data } = parameters.get(name)!;
      return emit.constant(name, data, dims ?? shape);
    },
    has: (name) => parameters.has(name),
  };

  const { mean, std, equalise: margin } = network.normalisation;
  const pixels = margin === undefined ? ONNX_NAMES.input : equalised(emit, network.imageSize, margin);
  const scalar = (name: string, value: number): string => emit.constant(name, Float32Array.of(value), []);
  const scaled = emit.node('Div', [pixels, scalar('white', 255)], 'scaled');
  const centred = emit.node('Sub', [scaled, scalar('mean', mean)], 'centred');
  const tensors: Value[] = [{ name: emit.node('Div', [centred, scalar('std', std)], 'normalised'), flat: false }];
  for (const [index, layer] of layers.entries()) {
    const output = index + 1 === layers.length ? ONNX_NAMES.logits : layer.place;
    const inputs = layer.inputs.map((tensor) => ({ ...tensors[tensor]!, shape: shapes[tensor]! }));
    tensors.push(emitLayer(emit, layer, inputs, output));
  }
  emit.node('Softmax', [ONNX_NAMES.logits], ONNX_NAMES.probabilities, { axis: { i: 1 } });
  return { nodes, initializers: [...initializers.values()] };
}

/** equalise.ts as operators: counts by scattering ones, then the table of grey values, [N, 256], looked up for every pixel. */
function equalised(emit: Emit, size: number, margin: number): string {
  const edge = Math.floor(margin * size);
  const side = size - 2 * edge;
  const scalar = (name: string, value: number): string => emit.constant(`equalise.${name}`, Float32Array.of(value), []);
  const ints = (name: string, ...values: number[]): string =>
    emit.constant(`equalise.${name}`, BigInt64Array.from(values, BigInt));
  const grey = (input: string, name: string): string => {
    const white = emit.node('Clip', [input, scalar('black', 0), scalar('white', 255)], `${name}.clipped`);
    const whole = emit.node('Round', [white], `${name}.whole`);
    return emit.node('Cast', [reshape(emit, whole, [0, -1], `${name}.flat`)], name, { to: { i: 7 } });
  };
  const cut = [ONNX_NAMES.input, ints('from', edge, edge), ints('to', size - edge, size - edge), ints('axes', 2, 3)];
  const inside = emit.node('Slice', cut, 'equalise.inside');
  const index = grey(inside, 'equalise.index');
  const flat = reshape(emit, inside, [0, -1], 'equalise.pixels');
  const none = emit.node('Mul', [flat, scalar('none', 0)], 'equalise.zeros');
  const ones = emit.node('Add', [none, scalar('one', 1)], 'equalise.ones');
  // [N, 1] zeros and [256] zeros make [N, 256].
  const each = emit.node('ReduceSum', [none, ints('axis', 1)], 'equalise.each', { keepdims: { i: 1 } });
  const empty = emit.node('Add', [each, emit.constant('equalise.greys', new Float32Array(256))], 'equalise.empty');
  const counts = emit.node('ScatterElements', [empty, index, ones], 'equalise.counts', {
    axis: { i: 1 },
    reduction: { s: 'add' },
  });
  const along = emit.constant('equalise.along', BigInt64Array.of(1n), []);
  const upTo = emit.node('CumSum', [counts, along], 'equalise.upTo');
  const half = emit.node('Mul', [counts, scalar('half', 0.5)], 'equalise.halfCounts');
  const below = emit.node('Sub', [upTo, half], 'equalise.below');
  const scaled = emit.node('Mul', [below, scalar('full', 255)], 'equalise.scaled');
  const share = emit.node('Div', [scaled, scalar('counted', side * side)], 'equalise.share');
  const raised = emit.node('Add', [share, scalar('half', 0.5)], 'equalise.raised');
  const table = emit.node('Floor', [raised], 'equalise.table');
  const looked = emit.node('GatherElements', [table, grey(ONNX_NAMES.input, 'equalise.all')], 'equalise.looked', {
    axis: { i: 1 },
  });
  return reshape(emit, looked, [0, 1, size, size], 'equalised');
}

/** A tensor of the graph; flat is [N, C], else [N, C, H, W]. */
interface Value {
  readonly name: string;
  readonly flat: boolean;
}

interface Emit {
  /** Adds a node; gives the name of its output. */
  node(
    op: string,
    inputs: readonly string[],
    output: string,
    attributes?: Readonly<Record<string, OnnxAttribute>>,
  ): string;
  /** Adds a tensor once, whoever asks for it; gives its name. */
  constant(name: string, data: Float32Array | BigInt64Array, dims?: readonly number[]): string;
  /** The same for a parameter, in its own shape or another of as many elements. */
  parameter(name: string, dims?: readonly number[]): string;
  has(name: string): boolean;
}

function emitLayer(
  emit: Emit,
  { layer }: Node,
  inputs: readonly (Value & { readonly shape: Shape })[],
  output: string,
): Value {
  const input = inputs[0]!;
  const { channels, height, width } = input.shape;
  /** The input as [N, C, H, W]. */
  const image = (value: Value = input): string =>
    value.flat ? reshape(emit, value.name, [0, channels, 1, 1], `${output}.image`) : value.name;
  const spatial = (op: string, more: readonly string[] = [], attributes = {}): Value => ({
    name: emit.node(op, [image(), ...more], output, attributes),
    flat: false,
  });
  const same = (name: string): Value => ({ name, flat: input.flat });

  switch (layer.op) {
    case 'conv2d':
      return spatial('Conv', weightAndBias(emit, layer), {
        ...windowAttributes(layer.kernel_size, layer.stride, layer.padding),
        group: { i: layer.groups },
      });
    case 'max_pool2d':
    case 'avg_pool2d':
      return spatial(layer.op === 'max_pool2d' ? 'MaxPool' : 'AveragePool', [], {
        ...windowAttributes(layer.kernel_size, layer.stride ?? layer.kernel_size, layer.padding),
        ...(layer.op === 'avg_pool2d' ? { count_include_pad: { i: 1 } } : {}),
      });
    case 'global_avg_pool':
      return spatial('GlobalAveragePool');
    case 'batch_norm2d': {
      const statistics = ['weight', 'bias', 'running_mean', 'running_var'];
      const names = statistics.map((kind) => emit.parameter(`${layer.name}.${kind}`));
      return spatial('BatchNormalization', names, { epsilon: { f: layer.eps } });
    }
    case 'group_norm': {
      // Opset 17 has no group norm: each group is normalised as one channel of an instance norm, then scaled by channel.
      const groups = layer.num_groups;
      const grouped = reshape(emit, image(), [0, groups, -1], `${output}.grouped`);
      const one = emit.constant(`ones.${groups}`, new Float32Array(groups).fill(1));
      const zero = emit.constant(`zeros.${groups}`, new Float32Array(groups));
      const epsilon = { epsilon: { f: layer.eps } };
      const normal = emit.node('InstanceNormalization', [grouped, one, zero], `${output}.normal`, epsilon);
      const whole = reshape(emit, normal, [0, channels, height, width], `${output}.whole`);
      const scale = emit.parameter(`${layer.name}.weight`, [channels, 1, 1]);
      const shift = emit.parameter(`${layer.name}.bias`, [channels, 1, 1]);
      const scaled = emit.node('Mul', [whole, scale], `${output}.scaled`);
      return { name: emit.node('Add', [scaled, shift], output), flat: false };
    }
    case 'relu':
      return same(emit.node('Relu', [input.name], output));
    case 'gelu': {
      const constant = (name: string, value: number): string => emit.constant(name, Float32Array.of(value), []);
      const scaled = emit.node('Mul', [input.name, constant('root_half', Math.SQRT1_2)], `${output}.scaled`);
      const erf = emit.node('Erf', [scaled], `${output}.erf`);
      const twice = emit.node('Add', [erf, constant('one', 1)], `${output}.twice`);
      const share = emit.node('Mul', [twice, constant('half', 0.5)], `${output}.share`);
      return same(emit.node('Mul', [input.name, share], output));
    }
    case 'dropout':
      return input;
    case 'linear': {
      const flat = input.flat ? input.name : emit.node('Flatten', [input.name], `${output}.flat`, { axis: { i: 1 } });
      return {
        name: emit.node('Gemm', [flat, ...weightAndBias(emit, layer)], output, { transB: { i: 1 } }),
        flat: true,
      };
    }
    case 'add': {
      const [a, b] = [input, inputs[1]!];
      if (a.flat === b.flat) return same(emit.node('Add', [a.name, b.name], output));
      const names = [a, b].map((value) => image(value));
      return { name: emit.node('Add', names, output), flat: false };
    }
  }
}

function weightAndBias(emit: Emit, { name }: { readonly name: string }): string[] {
  const bias = `${name}.bias`;
  return [emit.parameter(`${name}.weight`), ...(emit.has(bias) ? [emit.parameter(bias)] : [])];
}

/** A reshape; 0 keeps an axis, -1 takes what is left. */
function reshape(emit: Emit, input: string, dims: readonly number[], output: string): string {
  const shape = emit.constant(`shape.${dims.join('x')}`, BigInt64Array.from(dims, BigInt));
  return emit.node('Reshape', [input, shape], output);
}

const windowAttributes = (
  kernel: readonly [number, number],
  stride: readonly [number, number],
  [y, x]: readonly [number, number],
) => ({ kernel_shape: { ints: kernel }, strides: { ints: stride }, pads: { ints: [y, x, y, x] } });
