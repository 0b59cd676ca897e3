/**
 * @file The fused blocks at a network's start: an image goes through all of them in one work item, forward and backward. No full-size
 * activation exists: a block keeps its pooled output and one byte for each pooled value.
 *
 * Activations are [H, W, C], with a one-pixel border of zeros where a convolution reads them.
 */
import type { FusedBlock } from '../fused.ts';
import { type Builder, imageAt, type Op, perImage, type Stage, UPDATE_CHUNK } from '../stage.ts';
import { dropoutScale, dropoutThreshold } from './elementwise.ts';

interface Placement {
  readonly block: FusedBlock;
  readonly weight: number;
  readonly bias: number;
  /** Weights as the forward pass reads them, and as the backward pass does (none for the first block). */
  readonly packed: number;
  readonly packedBackward: number;
  /** Output of image 0, first pixel; bytes between rows and images. */
  readonly output: number;
  readonly row: number;
  readonly image: number;
  /** Start of image 0's output with its border, which is the next block's input. */
  readonly padded: number;
  /** Which position of each 2x2 window was largest, u8 [B, H/2, W/2, CO]. */
  readonly arg: number;
  readonly argImage: number;
}

/** `pixels`: address of the batch, u8 [B, size, size]; `table`: of the 256 normalised values. The gradient is masked by the output. */
export function buildBlocks(builder: Builder, blocks: readonly FusedBlock[], pixels: number, table: number): Op {
  const last = blocks.at(-1)!;
  const [y, dy] = [builder.tensor(last.output), builder.gradient(last.output)];
  const { size } = blocks[0]!;
  const { training } = builder;
  // What only the backward pass reads again is kept for each image, else overwritten by the thread's next one.
  const slots = training ? builder.batchSize : builder.threads;
  const slot = (image: number, thread: number): number => (training ? image : thread);
  const places = blocks.map((block): Placement => {
    const { layer } = block.conv;
    const half = block.size / 2;
    const inner = block !== last;
    const row = inner ? (half + 2) * block.outputs * 4 : y.row;
    const image = inner ? row * (half + 2) : y.image;
    const padded = inner ? builder.take(image * slots) : y.data;
    return {
      block,
      weight: builder.parameter(`${layer.name}.weight`).at,
      bias: builder.parameter(`${layer.name}.bias`).at,
      packed: builder.take((block.inputs === 1 ? 9 : 16) * block.inputs * block.outputs * 4),
      packedBackward: block.inputs === 1 || !training ? 0 : builder.take(9 * block.inputs * block.outputs * 4),
      padded,
      output: inner ? padded + row + block.outputs * 4 : padded,
      row,
      image,
      arg: builder.take(half * half * block.outputs * slots),
      argImage: half * half * block.outputs,
    };
  });

  // Parameters of the blocks lie one after another, and so do their gradients, image by image.
  const { at: from, velocity } = builder.parameter(`${blocks[0]!.conv.layer.name}.weight`);
  const bytes = places.at(-1)!.bias + last.outputs * 4 - from;
  const gradients = training ? builder.take(bytes * builder.batchSize) : 0;
  const widest = Math.max(...blocks.map(({ outputs }) => outputs));
  const scratch = Array.from({ length: builder.threads }, () => ({
    // The normalised image with its border; the first block reads up to 4 bytes past its input.
    input: builder.take((size + 2) ** 2 * 4 + 16),
    inputGradients: blocks.map(({ size: edge, inputs }, i) =>
      i === 0 || !training ? 0 : builder.take((edge + 2) ** 2 * inputs * 4),
    ),
    // 24 tiles of 16 elements by channel, and sums of 6 tiles for 8 outputs (kernels/src/winograd.ts).
    tiles: builder.take((24 * 16 * widest + 6 * 16 * 8) * 4),
    lists: training ? builder.take(Math.max(...blocks.map(backwardScratch))) : 0,
  }));
  const normalise = (kernels: Parameters<Stage['run']>[0], image: number, input: number): void =>
    kernels.normalise(pixels + image * size * size, table, input + (size + 3) * 4, (size + 2) * 4, 4, size);

  const pack: Stage = {
    items: () => places.length,
    run: (kernels, _job, item) => {
      const { weight, packed, packedBackward, block } = places[item]!;
      const { inputs, outputs } = block;
      if (inputs === 1) return kernels.packWeights(weight, packed, 9, outputs);
      kernels.winogradWeights(weight, packed, inputs, 0, outputs);
      if (training) kernels.packBackward(weight, packedBackward, inputs, outputs);
    },
  };

  const forward = perImage((kernels, { dropoutKey }, image, thread) => {
    let { input, tiles } = scratch[thread]!;
    normalise(kernels, image, input);
    for (const place of places) {
      const { bias, packed, row } = place;
      const { inputs, outputs, size: edge, dropout } = place.block;
      const at = slot(image, thread);
      const output = place.output + (place.block === last ? image : at) * place.image;
      const arg = place.arg + at * place.argImage;
      if (inputs === 1) kernels.convPoolRelu(input, packed, bias, output, row, arg, edge, inputs, outputs);
      else kernels.winogradPoolRelu(input, packed, bias, output, row, arg, edge, inputs, outputs, tiles);
      if (dropout.p > 0 && dropoutKey) {
        const [key0, key1] = dropoutKey;
        const [threshold, scale] = [dropoutThreshold(dropout.p), dropoutScale(dropout.p)];
        kernels.dropout(output, row, edge / 2, (edge / 2) * outputs, key0, key1, image, dropout.node, threshold, scale);
      }
      input = place.padded + at * place.image;
    }
  });

  const backward = perImage((kernels, job, image, thread) => {
    const { input, inputGradients, lists } = scratch[thread]!;
    const into = gradients + image * bytes - from;
    let [gradient, gradientRow] = [imageAt(dy, image), dy.row];
    for (let i = places.length - 1; i >= 0; i--) {
      const { block, weight, bias, output, row, image: stride, arg, argImage, packedBackward } = places[i]!;
      const { inputs, outputs, size: edge } = block;
      const act = output + image * stride;
      const args = arg + image * argImage;
      const previous = places[i - 1];
      if (previous === undefined) {
        // Another thread may have run this image forward: its normalised pixels are made again.
        normalise(kernels, image, input);
        kernels.convBackward1(
          ...([
            act,
            row,
            gradient,
            gradientRow,
            args,
            input,
            into + weight,
            into + bias,
            edge,
            outputs,
            lists,
          ] as const),
        );
        continue;
      }
      const x = previous.padded + image * previous.image;
      const dx = inputGradients[i]!;
      const scale = block.dropout.p > 0 && job.dropoutKey ? dropoutScale(block.dropout.p) : 1;
      kernels.convBackward(
        ...([act, row, gradient, gradientRow, args, scale, x, packedBackward, dx, into + weight, into + bias] as const),
        ...([edge, inputs, outputs, lists] as const),
      );
      gradientRow = (edge + 2) * inputs * 4;
      gradient = dx + gradientRow + inputs * 4;
    }
  });

  const update: Stage = {
    items: () => Math.ceil(bytes / UPDATE_CHUNK),
    run: (kernels, job, item) => {
      const start = item * UPDATE_CHUNK;
      const second = job.adaptive ? builder.second(from) : 0;
      const anchor = job.anchored ? builder.anchor(from) : 0;
      kernels.sumAndUpdate(
        ...([gradients, bytes, job.images, from, velocity, second, anchor] as const),
        ...([start, Math.min(bytes, start + UPDATE_CHUNK), builder.settings] as const),
      );
    },
  };
  return { pack: [pack], forward: [forward], backward: [backward], update: [update] };
}

/** Bytes of convBackward's lists: where they end, then 4 lists a pixel of a row, then one a channel for 4 rows. */
function backwardScratch({ size, inputs, outputs }: FusedBlock): number {
  if (inputs === 1) return outputs * 64;
  const half = size / 2;
  return outputs * 4 + half * 16 + half * 4 * (outputs * 8 + 64) + outputs * (4 * half * 8 + 64);
}
