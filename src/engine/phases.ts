/**
 * @file A step as phases, each a number of independent work items: image, run of K, or run of parameters.
 *
 * What an item computes and where it puts it depends on the item alone, never on the thread that takes it; items whose
 * results are summed write them apart. So any number of threads gives the same bits.
 */
import type { Kernels } from './kernels.ts';
import { DENSE_CHUNK, type Plan, SETTINGS, UPDATE_CHUNK } from './plan.ts';

/** What the items of a phase need to know besides the plan. */
export interface Job {
  /** Images in this batch, at most the plan's batch size. */
  readonly images: number;
  /** Philox key of the dropout masks; undefined when nothing is dropped. */
  readonly dropoutKey: readonly [number, number] | undefined;
  /** Whether the optimiser has second moments, and whether FedProx pulls towards the anchor. */
  readonly adaptive: boolean;
  readonly anchored: boolean;
}

interface Phase {
  items(plan: Plan, job: Job): number;
  run(kernels: Kernels, plan: Plan, job: Job, item: number, thread: number): void;
}

/** Dropout decides by 16 random bits: those below the threshold are dropped. */
export const dropoutThreshold = (probability: number): number => Math.round(probability * 65536);

const dropoutScale = (probability: number): number => 1 / (1 - dropoutThreshold(probability) / 65536);

const pack: Phase = {
  items: (plan) => plan.blocks.length,
  run: (kernels, plan, _job, item) => {
    const { weight, packed, packedBackward, inputs, outputs } = plan.blocks[item]!;
    const w = plan.conv + weight;
    if (inputs === 1) {
      kernels.packWeights(w, packed, 9, outputs);
    } else {
      kernels.winogradWeights(w, packed, inputs, 0, outputs);
      kernels.packBackward(w, packedBackward, inputs, outputs);
    }
  },
};

const forward: Phase = {
  items: (_plan, job) => job.images,
  run: (kernels, plan, job, image, thread) => {
    const size = plan.network.imageSize;
    let { input, tiles } = plan.threads[thread]!;
    kernels.normalise(plan.images + image * size * size, plan.table, input, size);
    for (const [i, block] of plan.blocks.entries()) {
      const { outputRow, inputs, outputs, packed } = block;
      const output = block.output + image * block.outputStride;
      const arg = block.arg + image * block.argStride;
      const bias = plan.conv + block.bias;
      if (inputs === 1) kernels.convPoolRelu(input, packed, bias, output, outputRow, arg, block.size, inputs, outputs);
      else kernels.winogradPoolRelu(input, packed, bias, output, outputRow, arg, block.size, inputs, outputs, tiles);
      if (i > 0 && job.dropoutKey) {
        const [key0, key1] = job.dropoutKey;
        const threshold = dropoutThreshold(plan.network.dropout);
        const scale = dropoutScale(plan.network.dropout);
        const pooled = block.size / 2;
        kernels.dropout(output, outputRow, pooled, pooled * outputs, key0, key1, image, i, threshold, scale);
      }
      input = block.padded + image * block.outputStride;
    }
  },
};

const dense: Phase = {
  items: (plan) => plan.chunks,
  run: (kernels, plan, job, chunk, thread) => {
    const { output, outputStride } = plan.blocks.at(-1)!;
    const [from, to] = denseRange(plan, chunk);
    const { hidden } = plan.network;
    const part = plan.partials + chunk * job.images * hidden * 4;
    const { lists } = plan.threads[thread]!;
    kernels.denseForward(output, outputStride, job.images, from, to, plan.dense, plan.features, hidden, part, lists);
  },
};

const reduce: Phase = {
  items: (_plan, job) => job.images,
  run: (kernels, plan, job, image) => {
    const row = plan.network.hidden * 4;
    const part = plan.partials + image * row;
    const h = plan.hidden + image * row;
    kernels.denseReduce(part, job.images * row, plan.chunks, plan.head, h, plan.network.hidden);
  },
};

const denseBackward: Phase = {
  items: (plan) => plan.chunks,
  run: (kernels, plan, job, chunk, thread) => {
    const { output, outputStride } = plan.blocks.at(-1)!;
    const [from, to] = denseRange(plan, chunk);
    const anchor = job.anchored ? plan.anchor + plan.convBytes : 0;
    kernels.denseBackward(
      output,
      outputStride,
      plan.outputGradient,
      job.images,
      from,
      to,
      plan.hiddenGradient,
      plan.dense,
      plan.denseVelocity,
      job.adaptive ? plan.denseSecond : 0,
      anchor,
      plan.features,
      plan.network.hidden,
      SETTINGS,
      plan.threads[thread]!.lists,
    );
  },
};

const backward: Phase = {
  items: (_plan, job) => job.images,
  run: (kernels, plan, job, image, thread) => {
    const size = plan.network.imageSize;
    const scratch = plan.threads[thread]!;
    const gradients = plan.convGradients + image * plan.convBytes;
    const last = plan.blocks.at(-1)!;
    let gradient = plan.outputGradient + image * last.outputStride;
    let gradientRow = last.outputRow;
    for (let i = plan.blocks.length - 1; i >= 0; i--) {
      const block = plan.blocks[i]!;
      const { inputs, outputs } = block;
      const act = block.output + image * block.outputStride;
      const arg = block.arg + image * block.argStride;
      const [dw, db] = [gradients + block.weight, gradients + block.bias];
      const previous = plan.blocks[i - 1];
      if (previous === undefined) {
        // Another thread may have run this image forward: its normalised pixels are made again.
        const x = scratch.input;
        kernels.normalise(plan.images + image * size * size, plan.table, x, size);
        kernels.convBackward1(
          act,
          block.outputRow,
          gradient,
          gradientRow,
          arg,
          x,
          dw,
          db,
          size,
          outputs,
          scratch.lists,
        );
      } else {
        const scale = job.dropoutKey ? dropoutScale(plan.network.dropout) : 1;
        const x = previous.padded + image * previous.outputStride;
        const dx = scratch.inputGradients[i]!;
        kernels.convBackward(
          act,
          block.outputRow,
          gradient,
          gradientRow,
          arg,
          scale,
          x,
          block.packedBackward,
          dx,
          dw,
          db,
          block.size,
          inputs,
          outputs,
          scratch.lists,
        );
        gradientRow = previous.outputRow;
        gradient = dx + gradientRow + inputs * 4;
      }
    }
  },
};

const update: Phase = {
  items: (plan) => Math.ceil(plan.convBytes / UPDATE_CHUNK),
  run: (kernels, plan, job, item) => {
    const from = item * UPDATE_CHUNK;
    const to = Math.min(plan.convBytes, from + UPDATE_CHUNK);
    kernels.sumAndUpdate(
      plan.convGradients,
      plan.convBytes,
      job.images,
      plan.conv,
      plan.convVelocity,
      job.adaptive ? plan.convSecond : 0,
      job.anchored ? plan.anchor : 0,
      from,
      to,
      SETTINGS,
    );
  },
};

const denseRange = (plan: Plan, chunk: number): readonly [number, number] => [
  chunk * DENSE_CHUNK,
  Math.min(plan.features, (chunk + 1) * DENSE_CHUNK),
];

/** All phases; a step runs them in this order, the head (head.ts) between reduce and denseBackward. */
export const PHASES = { pack, forward, dense, reduce, denseBackward, backward, update } as const;
export type PhaseName = keyof typeof PHASES;
