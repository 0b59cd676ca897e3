/**
 * @file A step as stages, each a number of independent work items: an image, or a run of outputs or parameters.
 *
 * What an item computes and where it puts it depends on the item alone, never on the thread that takes it; items whose
 * results are summed write them apart. So any number of threads gives the same bits.
 */
import type { Shape } from './graph.ts';
import type { Kernels } from './kernels.ts';
import type { ParameterPlace } from './parameter-places.ts';

/** What the items of a stage need to know besides the program. */
export interface Job {
  /** Images in this batch, at most the program's batch size. */
  readonly images: number;
  /** Batch norm uses the batch's statistics, and keeps them. */
  readonly training: boolean;
  /** Philox key of the dropout masks; undefined when nothing is dropped. */
  readonly dropoutKey: readonly [number, number] | undefined;
  /** Whether the optimiser has second moments, and whether FedProx pulls towards the anchor. */
  readonly adaptive: boolean;
  readonly anchored: boolean;
}

/** Bytes of parameters that are updated as one work item. */
export const UPDATE_CHUNK = 16384;

export interface Stage {
  items(job: Job): number;
  run(kernels: Kernels, job: Job, item: number, thread: number): void;
}

/** A layer, or several that are computed together. */
export interface Op {
  /** Rearranges weights for the kernels; runs when they have changed. */
  readonly pack: readonly Stage[];
  readonly forward: readonly Stage[];
  readonly backward: readonly Stage[];
  /** Takes the place of the common update for the parameters that this op updates itself. */
  readonly update: readonly Stage[];
}

/** Where a tensor [images, H, W, C] lies: bytes. */
export interface Placed {
  readonly shape: Shape;
  /** Channels in memory: the shape's rounded up to a multiple of 4, the rest zeros (a grey image for convolutions: 1). */
  readonly stored: number;
  /** First value of image 0, inside the border of zeros. */
  readonly data: number;
  /** From a row, a column and an image to the next. */
  readonly row: number;
  readonly pixel: number;
  readonly image: number;
}

/** What building an op needs to know of the program. */
export interface Builder {
  readonly batchSize: number;
  /** false: only the forward pass is wanted, and what it needs. */
  readonly training: boolean;
  readonly threads: number;
  /** Addresses from the start of memory; multiples of 64. */
  take(bytes: number): number;
  /** The settings of the optimiser's step (update.ts). */
  readonly settings: number;
  /** Where the second moment and the anchor of the parameter at this address lie. */
  second(parameter: number): number;
  anchor(parameter: number): number;
  /** Puts constants into memory: read by kernels, written once when the engine opens. */
  constants(words: readonly number[]): number;
  tensor(id: number): Placed;
  parameter(name: string): ParameterPlace;
  /** Where the gradient of a tensor lies: where an op reads it. */
  gradient(id: number): Placed;
  /** Whether the op may work in place: its output lies where its input does. */
  inPlace(input: number, output: number): boolean;
}

/** Where an op adds what it contributes to a gradient. The first one writes, the others add. */
export interface Into {
  readonly to: Placed;
  readonly add: 0 | 1;
}

/** One item for each image. */
export const perImage = (run: (kernels: Kernels, job: Job, image: number, thread: number) => void): Stage => ({
  items: ({ images }) => images,
  run,
});

/** One item. */
export const once = (run: (kernels: Kernels, job: Job) => void): Stage => ({ items: () => 1, run });

/** Address of an image. */
export const imageAt = ({ data, image }: Placed, index: number): number => data + index * image;

/** Floats of a row. */
export const rowFloats = ({ shape, stored }: Placed): number => shape.width * stored;

/** Rows that lie together without a border count as one long row. */
export const rowsOf = (...placed: readonly Placed[]): { rows: number; count: number } => {
  const [{ shape }] = placed as [Placed];
  const dense = placed.every((one) => one.row === rowFloats(one) * 4);
  return dense
    ? { rows: 1, count: shape.height * rowFloats(placed[0]!) }
    : { rows: shape.height, count: rowFloats(placed[0]!) };
};
