/**
 * @file Finds what the fused kernels compute in a network: at its start, blocks of conv 3x3 + ReLU + max-pool 2x2 with dropout after
 * any but the first; behind them, a linear layer with ReLU.
 */
import type { NetworkGraph, Node, NodeLayer, Shape } from './graph.ts';

type Of<Name> = Node<Extract<NodeLayer, { op: Name }>>;

/** One block: its output is its last node's. */
export interface FusedBlock {
  readonly conv: Of<'conv2d'>;
  /** Height and width of its input; its output has half of it. */
  readonly size: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Probability, 0 without; and the index of the dropout's node, which keys the mask. */
  readonly dropout: { readonly p: number; readonly node: number };
  readonly output: number;
}

/** The blocks at the network's start, as many as there are. */
export function fusedBlocks({ nodes, shapes }: NetworkGraph): FusedBlock[] {
  const blocks: FusedBlock[] = [];
  for (let at = 0; ; ) {
    const [conv, relu, pool] = nodes.slice(at, at + 3);
    if (!conv || !isConvolution(conv, shapes[conv.inputs[0]!]!)) break;
    if (relu?.layer.op !== 'relu' || !pool || !isHalving(pool)) break;
    if (![conv, relu].every((node) => readers(nodes, node.output) === 1)) break;
    const { channels, height } = shapes[conv.inputs[0]!]!;
    let [output, dropout] = [pool.output, { p: 0, node: 0 }];
    at += 3;
    const next = nodes[at];
    // The kernel of the first block knows no dropout.
    if (blocks.length > 0 && next?.layer.op === 'dropout' && readers(nodes, pool.output) === 1) {
      dropout = { p: next.layer.p, node: at };
      output = next.output;
      at += 1;
    }
    blocks.push({ conv, size: height, inputs: channels, outputs: conv.layer.out_channels, dropout, output });
    // The next block must be the only reader of this one.
    if (readers(nodes, output) !== 1) break;
  }
  return blocks;
}

/** How many nodes read a tensor. */
const readers = (nodes: readonly Node[], tensor: number): number =>
  nodes.filter(({ inputs }) => inputs.includes(tensor)).length;

function isConvolution(node: Node, { channels, height, width }: Shape): node is Of<'conv2d'> {
  const { layer } = node;
  return (
    layer.op === 'conv2d' &&
    `${layer.kernel_size} ${layer.stride} ${layer.padding}` === '3,3 1,1 1,1' &&
    layer.groups === 1 &&
    layer.bias &&
    (channels === 1 || channels % 8 === 0) &&
    layer.out_channels % 8 === 0 &&
    height === width &&
    height % 2 === 0
  );
}

const isHalving = ({ layer }: Node): boolean =>
  layer.op === 'max_pool2d' &&
  `${layer.kernel_size} ${layer.stride ?? layer.kernel_size} ${layer.padding}` === '2,2 2,2 0,0';

export interface FusedDense {
  readonly linear: Of<'linear'>;
  readonly relu: Node;
}

/** The linear layer and ReLU that read the tensor `input` and nothing else does, where the kernels can compute them. */
export function fusedDense({ nodes }: NetworkGraph, input: number): FusedDense | undefined {
  const linear = nodes.find(({ inputs }) => inputs.includes(input));
  if (linear?.layer.op !== 'linear' || readers(nodes, input) !== 1) return undefined;
  const { out_features: outputs, bias } = linear.layer;
  const relu = nodes.find(({ inputs }) => inputs.includes(linear.output));
  const fits = relu?.layer.op === 'relu' && readers(nodes, linear.output) === 1 && outputs % 32 === 0 && bias;
  return fits ? { linear: linear as Of<'linear'>, relu } : undefined;
}
