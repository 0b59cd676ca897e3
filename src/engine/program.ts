/**
 * @file Compiles a network to a program: where everything lies in the one linear memory, and the stages of a step. A pure function
 * of network, batch size and threads, so every thread makes the same one. Fused kernels are chosen here, where they fit.
 */
import { fail } from '../base/index.ts';
import { fusedBlocks, fusedDense } from './fused.ts';
import { flatten, type Node, type NodeLayer } from './graph.ts';
import { openAllocator, SETTINGS } from './memory.ts';
import type { Network } from './network.ts';
import { buildBlocks } from './ops/blocks.ts';
import { buildConv } from './ops/conv.ts';
import { buildDense } from './ops/dense.ts';
import { buildDepthwise, isDepthwise } from './ops/depthwise.ts';
import { buildAdd, buildDropout, buildGelu, buildRelu } from './ops/elementwise.ts';
import { buildInput } from './ops/input.ts';
import { buildLinear } from './ops/linear.ts';
import { buildBatchNorm, buildGroupNorm } from './ops/norm.ts';
import { buildAveragePool, buildMaxPool } from './ops/pool.ts';
import { type Places, placeParameters } from './places.ts';
import { type Builder, type Into, type Op, type Placed, type Stage, UPDATE_CHUNK } from './stage.ts';
import { placeTensors } from './tensors.ts';

export interface ProgramOptions {
  readonly batchSize: number;
  readonly threads: number;
  /** false: the forward pass alone. */
  readonly training: boolean;
  readonly secondMoments: boolean;
}

export interface Program {
  readonly parameters: Places;
  /** Of the batch's pixels, u8 [B, size, size], and of the 256 normalised values. */
  readonly pixels: number;
  readonly table: number;
  readonly logits: Placed;
  readonly logitGradients: Placed;
  /** The tensor that a node reads, or undefined where it lies inside a fused op. */
  tensor(id: number): Placed | undefined;
  readonly constants: readonly { readonly at: number; readonly words: readonly number[] }[];
  readonly pack: readonly Stage[];
  readonly forward: readonly Stage[];
  readonly backward: readonly Stage[];
  /** Start of the copy of the parameters that only FedProx needs, and the end of memory without and with it. */
  readonly anchor: number;
  readonly bytes: number;
  readonly bytesWithAnchor: number;
}

/** WebAssembly's 32-bit addresses. */
const MEMORY_LIMIT = 2 ** 32;

export function compileProgram({ layers, imageSize }: Network, options: ProgramOptions): Program {
  const { batchSize, threads, training } = options;
  const graph = flatten(layers, imageSize);
  const { nodes, shapes } = graph;
  const blocks = fusedBlocks(graph);
  const blockEnd = blocks.at(-1)?.output ?? 0;
  const dense = blockEnd > 0 ? fusedDense(graph, blockEnd) : undefined;
  // Tensor i + 1 is node i's: all before the last block's output lie inside the blocks.
  const hidden = new Set(Array.from({ length: blockEnd }, (_, id) => id));
  if (dense) hidden.add(dense.linear.output);

  const allocator = openAllocator();
  const constants: { at: number; words: readonly number[] }[] = [];
  const table = allocator.take(256 * 4);
  const pixels = allocator.take(batchSize * imageSize ** 2);
  const tensors = placeTensors(graph, hidden, options, allocator);
  const parameters = placeParameters(graph, { blocks, dense }, tensors.tensor, options, allocator);
  let anchor = 0;
  const builder: Builder = {
    batchSize,
    threads,
    training,
    settings: SETTINGS,
    take: allocator.take,
    constants: (words) => {
      const at = allocator.take(words.length * 4);
      constants.push({ at, words });
      return at;
    },
    tensor: tensors.tensor,
    gradient: tensors.gradient,
    inPlace: tensors.inPlace,
    parameter: (name) => parameters.places.get(name)!,
    second: (at) => at - parameters.start + parameters.second,
    anchor: (at) => at - parameters.start + anchor,
  };

  // Built from the last op to the first, in the order of the backward pass: who writes a gradient first is known then.
  const written = new Set<number>();
  const into = (id: number): Into | undefined => {
    if (!tensors.needsGradient(id)) return undefined;
    const add = written.has(id) ? 1 : 0;
    written.add(id);
    return { to: tensors.gradient(id), add };
  };
  const ops: Op[] = [];
  for (let index = nodes.length - 1; index >= blockEnd; index--) {
    const node = nodes[index]!;
    if (node === dense?.linear) continue;
    const op = node === dense?.relu ? buildDense(builder, dense, into(blockEnd)) : build(builder, node, index, into);
    ops.unshift(tensors.needsGradient(node.output) ? op : { ...op, backward: [] });
  }
  ops.unshift(
    blocks.length > 0 ? buildBlocks(builder, blocks, pixels, table) : buildInput(builder, pixels, table, imageSize),
  );
  anchor = allocator.top();
  const bytesWithAnchor = anchor + (training ? parameters.bytes : 0);
  if (bytesWithAnchor > MEMORY_LIMIT) {
    fail(
      'engine',
      `this network with batch size ${batchSize} needs ${Math.ceil(bytesWithAnchor / 2 ** 20)} MiB, at most 4096 can be had`,
      'choose a smaller batch size',
    );
  }
  return {
    parameters,
    pixels,
    table,
    logits: tensors.tensor(shapes.length - 1),
    logitGradients: tensors.gradient(shapes.length - 1),
    tensor: (id) => (hidden.has(id) ? undefined : tensors.tensor(id)),
    constants,
    pack: ops.flatMap(({ pack }) => pack),
    forward: ops.flatMap(({ forward }) => forward),
    backward: training
      ? [
          ...ops.toReversed().flatMap(({ backward }) => backward),
          ...ops.flatMap(({ update }) => update),
          commonUpdate(builder, parameters),
        ]
      : [],
    anchor,
    bytes: anchor,
    bytesWithAnchor,
  };
}

function build(builder: Builder, node: Node, index: number, into: (id: number) => Into | undefined): Op {
  const { layer } = node;
  const first = into(node.inputs[0]!);
  const as = <Name>() => node as Node<Extract<NodeLayer, { op: Name }>>;
  switch (layer.op) {
    case 'conv2d': {
      const depthwise = isDepthwise(layer, builder.tensor(node.inputs[0]!).shape.channels);
      return (depthwise ? buildDepthwise : buildConv)(builder, as<'conv2d'>(), first);
    }
    case 'linear':
      return buildLinear(builder, as<'linear'>(), first);
    case 'relu':
      return buildRelu(builder, as<'relu'>(), first);
    case 'gelu':
      return buildGelu(builder, as<'gelu'>(), first);
    case 'dropout':
      return buildDropout(builder, as<'dropout'>(), index, first);
    case 'add':
      return buildAdd(builder, as<'add'>(), [first, into(node.inputs[1]!)]);
    case 'max_pool2d':
      return buildMaxPool(builder, as<'max_pool2d'>(), first);
    case 'avg_pool2d':
    case 'global_avg_pool':
      return buildAveragePool(builder, as<'avg_pool2d' | 'global_avg_pool'>(), first);
    case 'group_norm':
      return buildGroupNorm(builder, as<'group_norm'>(), first);
    case 'batch_norm2d':
      return buildBatchNorm(builder, as<'batch_norm2d'>(), first);
  }
}

/** The optimiser's step for the parameters whose gradients are stored. */
function commonUpdate(builder: Builder, { start, velocity, gradient, blockBytes, gradientBytes }: Places): Stage {
  return {
    items: () => Math.ceil((gradientBytes - blockBytes) / UPDATE_CHUNK),
    run: (kernels, job, item) => {
      const from = blockBytes + item * UPDATE_CHUNK;
      const bytes = Math.min(gradientBytes - from, UPDATE_CHUNK);
      const second = job.adaptive ? builder.second(start + from) : 0;
      const anchor = job.anchored ? builder.anchor(start + from) : 0;
      kernels.updateRange(start + from, velocity + from, second, anchor, gradient + from, bytes, builder.settings);
    },
  };
}
