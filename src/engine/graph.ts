/**
 * @file A network flattened: its layers as nodes in the order in which they compute, with the shape of every tensor between them.
 * Executors, the exporter and the oracle of the tests all read this form; layers that do not fit are refused here, with their place.
 */
import { fail, type ParameterShapes } from '../base/index.ts';
import type { Layer, Residual } from './layers.ts';

/** Of one image. */
export interface Shape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** A layer without its kind of nesting; `add` is the end of a residual. */
export type NodeLayer = Exclude<Layer, Residual> | { readonly op: 'add' };

export interface Node<L extends NodeLayer = NodeLayer> {
  readonly layer: L;
  /** Tensors it reads: one, or two for `add`. Tensor 0 is the normalised image; node i makes tensor i + 1. */
  readonly inputs: readonly number[];
  readonly output: number;
  /** Where it stands in the description: `layers[3].body[0]`. */
  readonly place: string;
}

export interface NetworkGraph {
  readonly nodes: readonly Node[];
  /** Shape of each tensor; 0 is the image. */
  readonly shapes: readonly Shape[];
}

export const elements = ({ channels, height, width }: Shape): number => channels * height * width;

/** Flattens `layers` over a grey image of `size` by `size`. Throws FedradError where a layer does not fit its input. */
export function flatten(layers: readonly Layer[], size: number): NetworkGraph {
  const nodes: Node[] = [];
  const shapes: Shape[] = [{ channels: 1, height: size, width: size }];
  const add = (layer: NodeLayer, inputs: readonly number[], shape: Shape, place: string): number => {
    shapes.push(shape);
    nodes.push({ layer, inputs, output: shapes.length - 1, place });
    return shapes.length - 1;
  };
  const walk = (inner: readonly Layer[], from: number, where: string): number => {
    let at = from;
    for (const [index, layer] of inner.entries()) {
      const place = `${where}[${index}]`;
      if (layer.op !== 'residual') {
        at = add(layer, [at], outputShape(layer, shapes[at]!, place), place);
        continue;
      }
      const body = walk(layer.body, at, `${place}.body`);
      const shortcut = walk(layer.shortcut, at, `${place}.shortcut`);
      if (describe(shapes[body]!) !== describe(shapes[shortcut]!))
        fail(
          place,
          `body gives ${describe(shapes[body]!)}, shortcut ${describe(shapes[shortcut]!)}`,
          'give the shortcut a conv2d that makes them alike',
        );
      at = add({ op: 'add' }, [body, shortcut], shapes[body]!, place);
    }
    return at;
  };
  walk(layers, 0, 'layers');
  checkNames(nodes);
  return { nodes, shapes };
}

const describe = ({ channels, height, width }: Shape): string => `[${channels}, ${height}, ${width}]`;

/** Positions of a window: floor((size + 2 padding - kernel) / stride) + 1. */
const positions = (size: number, kernel: number, stride: number, padding: number): number =>
  Math.floor((size + 2 * padding - kernel) / stride) + 1;

function outputShape(layer: Exclude<Layer, Residual>, input: Shape, place: string): Shape {
  switch (layer.op) {
    case 'conv2d': {
      const { out_channels: outputs, groups } = layer;
      const perGroup = outputs / groups;
      if (input.channels % groups !== 0 || !Number.isInteger(perGroup))
        fail(place, `${groups} groups do not divide ${input.channels} inputs and ${outputs} outputs`, 'change groups');
      return { channels: outputs, ...windowed(layer, layer.stride, input, place) };
    }
    case 'max_pool2d':
    case 'avg_pool2d': {
      for (const axis of [0, 1] as const) {
        if (layer.padding[axis] * 2 > layer.kernel_size[axis])
          fail(`${place}.padding`, `${layer.padding[axis]} is more than half the kernel`, 'lower it');
      }
      return { channels: input.channels, ...windowed(layer, layer.stride ?? layer.kernel_size, input, place) };
    }
    case 'global_avg_pool':
      return { channels: input.channels, height: 1, width: 1 };
    case 'group_norm':
      if (input.channels % layer.num_groups !== 0)
        fail(`${place}.num_groups`, `${layer.num_groups} does not divide ${input.channels} channels`, 'change it');
      return input;
    case 'linear':
      return { channels: layer.out_features, height: 1, width: 1 };
    default:
      return input;
  }
}

function windowed(
  { kernel_size: kernel, padding }: { kernel_size: readonly [number, number]; padding: readonly [number, number] },
  stride: readonly [number, number],
  input: Shape,
  place: string,
): { height: number; width: number } {
  const height = positions(input.height, kernel[0], stride[0], padding[0]);
  const width = positions(input.width, kernel[1], stride[1], padding[1]);
  if (height < 1 || width < 1)
    fail(
      place,
      `a kernel of ${kernel.join('x')} does not fit ${input.height}x${input.width} pixels`,
      'use a smaller one',
    );
  return { height, width };
}

function checkNames(nodes: readonly Node[]): void {
  const places = new Map<string, string>();
  for (const { layer, place } of nodes) {
    if (!('name' in layer)) continue;
    const first = places.get(layer.name);
    if (first !== undefined) fail(`${place}.name`, `"${layer.name}" is also the name of ${first}`, 'give it another');
    places.set(layer.name, place);
  }
}

/** Names and shapes of the parameters and buffers of one node, PyTorch's. `input` is the shape of its first input. */
export function nodeParameters({ layer }: Node, input: Shape): ParameterShapes {
  const shapes = new Map<string, readonly number[]>();
  switch (layer.op) {
    case 'conv2d':
      shapes.set(`${layer.name}.weight`, [layer.out_channels, input.channels / layer.groups, ...layer.kernel_size]);
      if (layer.bias) shapes.set(`${layer.name}.bias`, [layer.out_channels]);
      break;
    case 'linear':
      shapes.set(`${layer.name}.weight`, [layer.out_features, elements(input)]);
      if (layer.bias) shapes.set(`${layer.name}.bias`, [layer.out_features]);
      break;
    case 'batch_norm2d':
      for (const kind of ['weight', 'bias', 'running_mean', 'running_var'])
        shapes.set(`${layer.name}.${kind}`, [input.channels]);
      break;
    case 'group_norm':
      for (const kind of ['weight', 'bias']) shapes.set(`${layer.name}.${kind}`, [input.channels]);
  }
  return shapes;
}
