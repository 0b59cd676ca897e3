/**
 * @file Where everything lies in the one linear memory: a pure function of network, batch size and threads.
 *
 * Activations are [H, W, C], with a one-pixel zero border where a conv reads them. No full-size activation exists: a block
 * keeps its pooled output and one byte per pooled value. Addresses are bytes, multiples of 64.
 */
import { fail } from '../base/index.ts';
import { type Block, blocksOf, type FusedNetwork, featuresOf } from './fused.ts';

/** k of the hidden layer's input per work item; sums are made per item, then over items in order. */
export const DENSE_CHUNK = 512;
/** Bytes of conv parameters per work item of the update. */
export const UPDATE_CHUNK = 16384;
/** Bytes of the control block, at address 64 (address 0 means "none" to the kernels). */
export const CONTROL = 64;
/** The settings of the optimiser's step (update.ts), in the control block behind the crew's words. */
export const SETTINGS = CONTROL + 128;

export interface BlockPlan extends Block {
  /** Weights [CO, 3, 3, CI] and bias [CO] within the conv parameters, bytes from their start. */
  readonly weight: number;
  readonly bias: number;
  /** Weights as the forward pass reads them, and as the backward pass does (none for the first block). */
  readonly packed: number;
  readonly packedBackward: number;
  /** Output of image 0, first pixel; the stride between images; bytes between rows. */
  readonly output: number;
  readonly outputStride: number;
  readonly outputRow: number;
  /** Start of image 0's output with its border, which is the next block's input. */
  readonly padded: number;
  /** Which position of each 2x2 window was largest, u8 [B, H/2, W/2, CO]. */
  readonly arg: number;
  readonly argStride: number;
}

export interface ThreadPlan {
  /** The normalised image with its border. */
  readonly input: number;
  /** Gradient of each block's input, with border; 0 for the first block, whose input needs none. */
  readonly inputGradients: readonly number[];
  /** Winograd-transformed tiles and their products. */
  readonly tiles: number;
  /** Lists of non-zero gradients or activations. */
  readonly lists: number;
}

export interface Plan {
  readonly network: FusedNetwork;
  readonly batchSize: number;
  readonly blocks: readonly BlockPlan[];
  /** Inputs K of the hidden layer, and how many work items they make. */
  readonly features: number;
  readonly chunks: number;
  readonly table: number;
  readonly images: number;
  /** Conv parameters, their velocity, and per image their gradients; convBytes each. */
  readonly conv: number;
  readonly convVelocity: number;
  /** Adam's second moments, here and of dense and head; 0 where none were asked for. */
  readonly convSecond: number;
  readonly convGradients: number;
  readonly convBytes: number;
  /** fc1.weight as [N/32, K, 32] and its velocity. */
  readonly dense: number;
  readonly denseVelocity: number;
  readonly denseSecond: number;
  readonly denseBytes: number;
  /** fc1.bias [N], fc2.weight [2, N], fc2.bias [2], padded to a multiple of 4; then their velocity and their gradient. */
  readonly head: number;
  readonly headVelocity: number;
  readonly headSecond: number;
  readonly headGradient: number;
  readonly headFloats: number;
  /** Partial sums [chunks, B, N], hidden activations [B, N], gradient before the ReLU [N/32, B, 32]. */
  readonly partials: number;
  readonly hidden: number;
  readonly hiddenGradient: number;
  /** Gradient of the last block's output, laid out as that output. */
  readonly outputGradient: number;
  readonly threads: readonly ThreadPlan[];
  /** Start of the copies that only FedProx needs (conv, then dense, then head), and the end of memory with them. */
  readonly anchor: number;
  readonly bytes: number;
  readonly bytesWithAnchor: number;
}

const BORDER = 1;
/** WebAssembly's 32-bit addresses. */
const MEMORY_LIMIT = 2 ** 32;

export function planMemory(network: FusedNetwork, batchSize: number, threadCount: number, secondMoments = false): Plan {
  let top = CONTROL + 256;
  const take = (bytes: number): number => {
    const at = Math.ceil(top / 64) * 64;
    top = at + bytes;
    return at;
  };
  const floats = (count: number): number => take(count * 4);

  const geometry = blocksOf(network);
  const { inputs: features } = featuresOf(network);
  const { hidden, classes } = network;
  const chunks = Math.ceil(features / DENSE_CHUNK);

  let convBytes = 0;
  const convOffsets = geometry.map(({ inputs, outputs }) => {
    const weight = convBytes;
    const bias = weight + outputs * inputs * 36;
    convBytes = bias + outputs * 4;
    return { weight, bias };
  });

  const table = floats(256);
  const images = take(batchSize * network.imageSize ** 2);
  const conv = take(convBytes);
  const convVelocity = take(convBytes);
  const convSecond = secondMoments ? take(convBytes) : 0;
  const convGradients = take(convBytes * batchSize);
  const blocks = geometry.map((block, i): BlockPlan => {
    const pooled = block.size / 2;
    const border = i + 1 < geometry.length ? BORDER : 0;
    const outputRow = (pooled + 2 * border) * block.outputs * 4;
    const outputStride = outputRow * (pooled + 2 * border);
    const padded = take(outputStride * batchSize);
    const argStride = pooled * pooled * block.outputs;
    return {
      ...block,
      ...convOffsets[i]!,
      packed: floats((block.inputs === 1 ? 9 : 16) * block.inputs * block.outputs),
      packedBackward: block.inputs === 1 ? 0 : floats(9 * block.inputs * block.outputs),
      padded,
      output: padded + border * (outputRow + block.outputs * 4),
      outputStride,
      outputRow,
      arg: take(argStride * batchSize),
      argStride,
    };
  });
  const headFloats = Math.ceil((hidden + classes * hidden + classes) / 4) * 4;
  const denseBytes = features * hidden * 4;
  const dense = take(denseBytes);
  const denseVelocity = take(denseBytes);
  const denseSecond = secondMoments ? take(denseBytes) : 0;
  const head = floats(headFloats);
  const headVelocity = floats(headFloats);
  const headSecond = secondMoments ? floats(headFloats) : 0;
  const headGradient = floats(headFloats);
  const partials = floats(chunks * batchSize * hidden);
  const hiddenAt = floats(batchSize * hidden);
  const hiddenGradient = floats(batchSize * hidden);
  const outputGradient = floats(batchSize * features);

  // Forward 128 entries of 8 bytes and an end an image, backward 32 entries, sums, ends and gradients (kernels/src/dense.ts).
  const denseLists = Math.max(batchSize * (128 * 8 + 4), batchSize * 32 * (8 + 16) + 2 * 32 * 4);
  const listBytes = Math.max(denseLists, ...geometry.map(backwardScratch));
  const widest = Math.max(...network.channels);
  const threads = Array.from(
    { length: threadCount },
    (): ThreadPlan => ({
      // The first block reads up to 4 bytes past its input.
      input: take((network.imageSize + 2) ** 2 * 4 + 16),
      inputGradients: geometry.map(({ size, inputs }, i) => (i === 0 ? 0 : floats((size + 2) ** 2 * inputs))),
      // 24 tiles of 16 elements by channel, and sums of 6 tiles for 8 outputs (kernels/src/winograd.ts).
      tiles: floats(24 * 16 * widest + 6 * 16 * 8),
      lists: take(listBytes),
    }),
  );

  const anchor = take(0);
  const bytes = top;
  const bytesWithAnchor = anchor + convBytes + denseBytes + headFloats * 4;
  if (bytesWithAnchor > MEMORY_LIMIT) {
    fail(
      'engine',
      `this network with batch size ${batchSize} needs ${Math.ceil(bytesWithAnchor / 2 ** 20)} MiB, at most 4096 can be had`,
      'choose a smaller batch size',
    );
  }
  return {
    network,
    batchSize,
    blocks,
    features,
    chunks,
    table,
    images,
    conv,
    convVelocity,
    convSecond,
    convGradients,
    convBytes,
    dense,
    denseVelocity,
    denseSecond,
    denseBytes,
    head,
    headVelocity,
    headSecond,
    headGradient,
    headFloats,
    partials,
    hidden: hiddenAt,
    hiddenGradient,
    outputGradient,
    threads,
    anchor,
    bytes,
    bytesWithAnchor,
  };
}

/** Bytes of convBackward's lists: where they end, then 4 lists a pixel of a row, then one a channel for 4 rows. */
function backwardScratch({ size, inputs, outputs }: Block): number {
  if (inputs === 1) return outputs * 64;
  const half = size / 2;
  return outputs * 4 + half * 16 + half * 4 * (outputs * 8 + 64) + outputs * (4 * half * 8 + 64);
}
