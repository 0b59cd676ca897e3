/** @file Places the parameters of a network: the regions of parameter-places.ts. */

import { isBuffer } from '../base/index.ts';
import type { FusedBlock, FusedDense } from './fused.ts';
import { type NetworkGraph, type Node, nodeParameters, type Shape } from './graph.ts';
import type { Allocator } from './memory.ts';
import { isDepthwise } from './ops/depthwise.ts';
import { type Layout, type ParameterPlace, storedFloats } from './parameter-places.ts';
import type { Placed } from './stage.ts';

export interface Places {
  readonly places: ReadonlyMap<string, ParameterPlace>;
  /** Start of the parameters that learn, their bytes, and those of the ones with a stored gradient. */
  readonly start: number;
  readonly bytes: number;
  readonly gradientBytes: number;
  /** Bytes at the start that the fused blocks update themselves. */
  readonly blockBytes: number;
  /** 0 where nothing is trained. */
  readonly velocity: number;
  readonly gradient: number;
  /** Adam's second moments; 0 where none were asked for. */
  readonly second: number;
}

export function placeParameters(
  { nodes, shapes }: NetworkGraph,
  { blocks, dense }: { readonly blocks: readonly FusedBlock[]; readonly dense: FusedDense | undefined },
  tensor: (id: number) => Placed,
  { training, secondMoments }: { readonly training: boolean; readonly secondMoments: boolean },
  allocator: Allocator,
): Places {
  const all = nodes.flatMap((node) => {
    const input = shapes[node.inputs[0]!]!;
    return [...nodeParameters(node, input)].map(([name, shape]) => {
      const fused = blocks.some(({ conv }) => conv === node);
      const isDense = node === dense?.linear && shape.length > 1;
      const layout = isDense ? ({ kind: 'dense', input } as const) : layoutOf(node, shape, input, fused, tensor);
      return { name, shape, layout, order: isBuffer(name) ? 3 : isDense ? 2 : fused ? 0 : 1 };
    });
  });
  const offsets = new Map<string, number>();
  const lengths = [0, 0, 0, 0];
  for (const order of [0, 1, 2, 3] as const) {
    // Running statistics are a region of their own.
    let top = order === 3 ? 0 : lengths.slice(0, order).reduce((sum, bytes) => sum + bytes, 0);
    const start = top;
    for (const one of all.filter((parameter) => parameter.order === order)) {
      offsets.set(one.name, top);
      top += storedFloats(one.shape, one.layout) * 4;
    }
    lengths[order] = top - start;
  }
  const [blockBytes, otherBytes, denseBytes, bufferBytes] = lengths as [number, number, number, number];
  const gradientBytes = blockBytes + otherBytes;
  const bytes = gradientBytes + denseBytes;
  const start = allocator.take(bytes);
  const velocity = training ? allocator.take(bytes) : 0;
  const second = training && secondMoments ? allocator.take(bytes) : 0;
  const gradient = training ? allocator.take(gradientBytes) : 0;
  const buffers = allocator.take(bufferBytes);
  const places = new Map(
    all.map(({ name, shape, layout, order }) => {
      const offset = offsets.get(name)!;
      const learns = order < 3;
      const place: ParameterPlace = {
        name,
        shape,
        layout,
        at: (learns ? start : buffers) + offset,
        velocity: learns ? velocity + offset : 0,
        gradient: order < 2 ? gradient + offset : 0,
      };
      return [name, place] as const;
    }),
  );
  return { places, start, bytes, gradientBytes, blockBytes, velocity, gradient, second };
}

function layoutOf(
  { layer, inputs }: Node,
  shape: readonly number[],
  input: Shape,
  fused: boolean,
  tensor: (id: number) => Placed,
): Layout {
  if (shape.length === 1) return { kind: 'vector' };
  if (layer.op === 'conv2d') {
    const window = layer.kernel_size[0] * layer.kernel_size[1];
    if (fused) return { kind: 'rows', window, run: input.channels };
    const { stored } = tensor(inputs[0]!);
    if (isDepthwise(layer, input.channels)) return { kind: 'depthwise', window, stored };
    return { kind: 'rows', window, run: layer.groups === 1 ? stored : input.channels / layer.groups };
  }
  return { kind: 'rows', window: input.height * input.width, run: tensor(inputs[0]!).stored };
}
