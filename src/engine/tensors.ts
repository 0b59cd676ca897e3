/**
 * @file Places the tensors between ops and their gradients in memory. Images are [H, W, C] with a border of zeros as wide as the
 * convolutions that read them need it; nothing ever writes there. ReLU and dropout work in place where nothing else reads their input.
 */
import type { NetworkGraph, Node, Shape } from './graph.ts';
import type { Allocator } from './memory.ts';
import { gradientBorder } from './ops/taps.ts';
import type { Placed } from './stage.ts';

export interface Tensors {
  tensor(id: number): Placed;
  gradient(id: number): Placed;
  inPlace(input: number, output: number): boolean;
  /** Whether anything before this tensor, or what makes it, learns. */
  needsGradient(id: number): boolean;
}

type Border = readonly [number, number];

/** `hidden`: tensors that lie inside a fused op, and get no place. Without `training` nothing needs a gradient. */
export function placeTensors(
  graph: NetworkGraph,
  hidden: ReadonlySet<number>,
  { batchSize, training }: { readonly batchSize: number; readonly training: boolean },
  allocator: Allocator,
): Tensors {
  const { nodes, shapes } = graph;
  const root = shapes.map((_, id) => id);
  const readers = shapes.map((): Node[] => []);
  for (const node of nodes) for (const id of new Set(node.inputs)) readers[id]!.push(node);
  for (const { layer, inputs, output } of nodes) {
    const [input] = inputs as [number];
    const alone = input !== 0 && readers[input]!.length === 1 && !hidden.has(input) && !hidden.has(output);
    if ((layer.op === 'relu' || layer.op === 'dropout') && alone) root[output] = root[input]!;
  }

  const borders: Border[] = shapes.map(() => [0, 0]);
  const gradientBorders: Border[] = shapes.map(() => [0, 0]);
  const needs = shapes.map(() => false);
  const widen = (list: Border[], id: number, [y, x]: Border): void => {
    const [oldY, oldX] = list[root[id]!]!;
    list[root[id]!] = [Math.max(y, oldY), Math.max(x, oldX)];
  };
  for (const { layer, inputs, output } of nodes) {
    needs[output] = training && ('name' in layer || inputs.some((id) => needs[id]));
    if (layer.op !== 'conv2d' || hidden.has(output)) continue;
    widen(borders, inputs[0]!, layer.padding);
    widen(gradientBorders, output, gradientBorder(layer, shapes[inputs[0]!]!, shapes[output]!));
  }

  const storedOf = (id: number): number => {
    const { channels } = shapes[id]!;
    const onlyConvolved = id === 0 && readers[0]!.every(({ layer }) => layer.op === 'conv2d');
    return onlyConvolved ? channels : Math.ceil(channels / 4) * 4;
  };
  const place = (id: number, [y, x]: Border): Placed => {
    const shape: Shape = shapes[id]!;
    const stored = storedOf(id);
    const pixel = stored * 4;
    const row = (shape.width + 2 * x) * pixel;
    const image = (shape.height + 2 * y) * row;
    return { shape, stored, pixel, row, image, data: allocator.take(image * batchSize) + y * row + x * pixel };
  };
  const placed = new Map<number, Placed>();
  const gradients = new Map<number, Placed>();
  for (const id of shapes.keys()) {
    if (hidden.has(id) || root[id] !== id) continue;
    placed.set(id, place(id, borders[id]!));
    if (needs[id]) gradients.set(id, place(id, gradientBorders[id]!));
  }
  const find = (map: ReadonlyMap<number, Placed>, id: number): Placed => {
    const one = map.get(root[id]!);
    if (!one) throw new Error(`engine: tensor ${id} has no place`);
    return one;
  };
  return {
    tensor: (id) => find(placed, id),
    gradient: (id) => find(needs[id] ? gradients : placed, id),
    inPlace: (input, output) => root[input] === root[output],
    needsGradient: (id) => needs[id]!,
  };
}
