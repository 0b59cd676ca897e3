/**
 * @file The engine: one network's parameters in one WebAssembly memory, and the training step over it.
 *
 * Forward and backward pass are stages of independent items (program.ts) that a crew of threads works through (crew.ts); the
 * loss is computed in between (loss.ts). Same parameters, batch and key give the same bits, whatever the number of threads.
 */
import { checkParameters, fail, isBuffer, type ParameterSet, type PhiloxKey, type Tensor } from '../base/index.ts';
import { openCrew } from './crew.ts';
import { equalise } from './equalise.ts';
import type { FeatureMaps } from './explain.ts';
import { elements, flatten } from './graph.ts';
import { compileKernels, fusesMultiplyAdd, linkKernels } from './kernels.ts';
import { classOneProbabilities, crossEntropy, type Logits } from './loss.ts';
import { SETTINGS } from './memory.ts';
import { type Network, parameterShapes } from './network.ts';
import type { Optimiser } from './optimiser.ts';
import { convertParameter, type ParameterPlace, storedFloats } from './parameter-places.ts';
import { compileProgram } from './program.ts';
import type { Job, Placed } from './stage.ts';
import { lastFeatureMap } from './tail.ts';
import { hasSecondMoments, SETTINGS_FLOATS, updateSettings } from './update.ts';

/** Images with their diagnoses. */
export interface LabelledImages {
  /** Grey values 0..255, [N, H, W]. */
  readonly images: Uint8Array;
  /** [N], 1 = PNEUMONIA, 0 = NORMAL. */
  readonly labels: Uint8Array;
}

/** Which arithmetic ran; recorded with a run, because results repeat bit for bit only with the same one. */
export interface KernelFacts {
  readonly relaxedSimd: boolean;
  readonly fusedMultiplyAdd: boolean;
  /** Whether the memory can be shared between threads here. */
  readonly sharedMemory: boolean;
  readonly threads: number;
}

export interface StepOptions {
  readonly learningRate: number;
  readonly optimiser: Optimiser;
  /** Key of the dropout masks; without it nothing is dropped. */
  readonly dropoutKey?: PhiloxKey;
  /** FedProx (Li et al., MLSys 2020): adds mu (w - anchor) to the gradient. Default 0. */
  readonly proximalMu?: number;
  /** Weights of the two classes in the loss. Default: every image weighs the same. */
  readonly classWeights?: readonly [number, number] | undefined;
}

export interface StepResult {
  /** Mean cross-entropy of the batch, weighted where there are class weights, before the update. */
  readonly loss: number;
  /** Images whose larger logit was their label's. */
  readonly correct: number;
}

export interface Engine {
  readonly network: Network;
  /** The most images of one step. */
  readonly batchSize: number;
  readonly kernels: KernelFacts;
  /** Bytes of the engine's memory. */
  readonly memoryBytes: number;
  /** Copies the parameters in and forgets the optimiser's state: velocity, moments, count of steps. Throws FedradError when they are not this network's. */
  load(parameters: ParameterSet): void;
  /** A copy of the parameters and buffers, in PyTorch's layouts. */
  parameters(): ParameterSet;
  /** A copy of SGD's velocity or Adam's first moment. After `load` and one step of plain SGD it is that step's gradient. */
  velocity(): ParameterSet;
  /** Keeps a copy of the present parameters as the point that `proximalMu` pulls towards. */
  setAnchor(): void;
  /** Forward, backward and update with 1..batchSize images. */
  step(batch: LabelledImages, options: StepOptions): StepResult;
  /** P(PNEUMONIA) of each image [N, H, W], dropout off and batch norm by its running statistics; any N. */
  probabilities(images: Uint8Array): Float32Array;
  /** The last feature map of each image [N, H, W], dropout off; any N. */
  features(images: Uint8Array): FeatureMaps;
  /** Ends the threads; the engine cannot be used afterwards. */
  close(): Promise<void>;
}

export interface EngineOptions {
  /** Threads that compute, the calling one included. 1 starts no worker. Results do not depend on it. */
  readonly threads: number;
  /** The most images of one step. */
  readonly batchSize: number;
  /** false: never use relaxed SIMD, for the same bits on machines without it. Default: where the runtime has it. */
  readonly relaxedSimd?: boolean;
  /** false: one thread over memory of its own. Default: where the runtime has memory that threads share. */
  readonly sharedMemory?: boolean;
  /** false: for `probabilities` and `features` alone, without room for gradients, velocity and anchor. Default true. */
  readonly training?: boolean;
  /** Room for the second moments of Adam and AdamW, as large as the parameters. Default false. */
  readonly secondMoments?: boolean;
}

const PAGE = 65536;

/** Opens an engine with all parameters 0. Throws FedradError when the network does not fit into 4 GiB. */
export async function openEngine(network: Network, options: EngineOptions): Promise<Engine> {
  const { batchSize, training = true, secondMoments = false } = options;
  const sharedMemory = options.sharedMemory ?? typeof SharedArrayBuffer !== 'undefined';
  const threads = sharedMemory ? options.threads : 1;
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    fail('engine', `expected 1 to 256 threads, got ${threads}`);
  if (!(Number.isInteger(batchSize) && batchSize >= 1))
    fail('engine', `expected a batch size of 1 or more, got ${batchSize}`);

  const programOptions = { batchSize, threads, training, secondMoments };
  const program = compileProgram(network, programOptions);
  const shapes = parameterShapes(network);
  const pages = (bytes: number): number => Math.ceil(bytes / PAGE);
  const memory = new WebAssembly.Memory({
    // Memory that is not shared moves when it grows: it gets its full size at once.
    initial: pages(sharedMemory ? program.bytes : program.bytesWithAnchor),
    maximum: pages(program.bytesWithAnchor),
    shared: sharedMemory,
  });
  const { module, relaxedSimd } = await compileKernels({ relaxedSimd: options.relaxedSimd ?? true, sharedMemory });
  const kernels = linkKernels(module, memory);
  const floats = (at: number, count: number): Float32Array => new Float32Array(memory.buffer, at, count);
  for (const { at, words } of program.constants) new Int32Array(memory.buffer, at, words.length).set(words);
  floats(program.table, 256).set(normalisationTable(network));
  const crew = await openCrew({ module, memory, network, options: programOptions }, program, kernels);
  const logitsOf = ({ data, image }: Placed): Logits => ({
    data: floats(data, (image / 4) * batchSize),
    stride: image / 4,
  });
  const { parameters: regions } = program;
  let anchored = false;
  let steps = 0;
  let packed = false;

  const runForward = (images: Uint8Array, job: Job): void => {
    const pixels = new Uint8Array(memory.buffer, program.pixels, images.length);
    const { equalise: margin } = network.normalisation;
    if (margin === undefined) pixels.set(images);
    else equalise(images, network.imageSize, margin, pixels);
    if (!packed) crew.run('pack', job);
    packed = true;
    crew.run('forward', job);
  };
  /** Runs any number of images forward for evaluation; `take` is called after each batch. */
  const evaluateAll = (images: Uint8Array, take: (from: number, count: number) => void): void => {
    const pixels = network.imageSize ** 2;
    for (let from = 0; from * pixels < images.length; from += batchSize) {
      const batch = images.subarray(from * pixels, (from + batchSize) * pixels);
      const count = batch.length / pixels;
      runForward(batch, { images: count, training: false, dropoutKey: undefined, adaptive: false, anchored: false });
      take(from, count);
    }
  };

  return {
    network,
    batchSize,
    kernels: { relaxedSimd, fusedMultiplyAdd: fusesMultiplyAdd(kernels), sharedMemory, threads },
    memoryBytes: memory.buffer.byteLength,

    load(parameters) {
      checkParameters(parameters, shapes, 'model');
      for (const place of regions.places.values())
        convertParameter(parameters.get(place.name)!.data, stored(place, place.at), place, 'fromTorch');
      if (training) new Uint8Array(memory.buffer, regions.velocity, regions.bytes).fill(0);
      if (regions.second !== 0) new Uint8Array(memory.buffer, regions.second, regions.bytes).fill(0);
      anchored = false;
      packed = false;
      steps = 0;
    },

    parameters: () => new Map([...regions.places.values()].map((place) => [place.name, tensor(place, place.at)])),
    velocity() {
      needsTraining('velocity');
      return new Map(
        [...regions.places.values()]
          .filter(({ name }) => !isBuffer(name))
          .map((place) => [place.name, tensor(place, place.velocity)]),
      );
    },

    setAnchor() {
      needsTraining('setAnchor');
      const missing = pages(program.bytesWithAnchor) - memory.buffer.byteLength / PAGE;
      if (missing > 0) memory.grow(missing);
      new Uint8Array(memory.buffer).copyWithin(program.anchor, regions.start, regions.start + regions.bytes);
      anchored = true;
    },

    step(batch, { learningRate, optimiser, dropoutKey, proximalMu = 0, classWeights }) {
      needsTraining('step');
      const images = checkBatch(batch, network, batchSize);
      if (proximalMu !== 0 && !anchored) throw new Error('engine: proximalMu needs setAnchor() first');
      const adaptive = hasSecondMoments(optimiser);
      if (adaptive && regions.second === 0) throw new Error(`engine: ${optimiser.kind} needs secondMoments`);
      steps += 1;
      floats(SETTINGS, SETTINGS_FLOATS).set(updateSettings(optimiser, { learningRate, proximalMu, step: steps }));
      const job: Job = { images, training: true, dropoutKey, adaptive, anchored: proximalMu !== 0 };
      runForward(batch.images, job);
      const [logits, gradients] = [logitsOf(program.logits), logitsOf(program.logitGradients)];
      const result = crossEntropy(logits, batch.labels, gradients, classWeights);
      crew.run('backward', job);
      packed = false;
      return result;
    },

    probabilities(images) {
      const result = new Float32Array(countImages(images, network));
      evaluateAll(images, (from, count) => result.set(classOneProbabilities(logitsOf(program.logits), count), from));
      if (result.some(Number.isNaN))
        fail('model', 'what it gives for an image is not a number', 'it has diverged or is damaged: use another one');
      return result;
    },

    features(images) {
      const map = lastFeatureMap(flatten(network.layers, network.imageSize));
      const placed =
        program.tensor(map) ??
        fail(
          'network',
          'its last feature map is not kept: fused kernels reduce it to one position',
          'use larger images',
        );
      const { shape } = placed;
      const data = new Float32Array(countImages(images, network) * elements(shape));
      evaluateAll(images, (from, count) => copyImages(placed, count, data.subarray(from * elements(shape))));
      return { shape, data };
    },

    close: () => crew.close(),
  };

  function needsTraining(what: string): void {
    if (!training) throw new Error(`engine: ${what} on an engine that was opened with training: false`);
  }

  function stored(place: ParameterPlace, at: number): Float32Array {
    return floats(at, storedFloats(place.shape, place.layout));
  }

  /** Copies a tensor [images, H, W, C] without its border and padding. */
  function copyImages({ shape, data, row, pixel, image }: Placed, images: number, to: Float32Array): void {
    const { channels, height, width } = shape;
    let at = 0;
    for (let b = 0; b < images; b++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++, at += channels)
          to.set(floats(data + b * image + y * row + x * pixel, channels), at);
  }

  function tensor(place: ParameterPlace, at: number): Tensor {
    const data = new Float32Array(place.shape.reduce((a, b) => a * b, 1));
    convertParameter(data, stored(place, at), place, 'toTorch');
    return { shape: place.shape, data };
  }
}

/** (value / 255 - mean) / std in single precision, as torchvision's ToTensor and Normalize compute it. */
const normalisationTable = ({ normalisation: { mean, std } }: Network): Float32Array =>
  Float32Array.from({ length: 256 }, (_, value) =>
    Math.fround(Math.fround(Math.fround(value / 255) - Math.fround(mean)) / Math.fround(std)),
  );

const imageRemedy = ({ imageSize }: Network): string => `prepare the images as ${imageSize}x${imageSize} grey`;

function countImages(images: Uint8Array, network: Network): number {
  const pixels = network.imageSize ** 2;
  if (images.length % pixels !== 0)
    fail('images', `expected a multiple of ${pixels} pixels, got ${images.length}`, imageRemedy(network));
  return images.length / pixels;
}

function checkBatch({ images, labels }: LabelledImages, network: Network, batchSize: number): number {
  const count = labels.length;
  if (count < 1 || count > batchSize) fail('batch', `expected 1 to ${batchSize} images, got ${count}`);
  const expected = count * network.imageSize ** 2;
  if (images.length !== expected)
    fail('batch', `${count} labels: expected ${expected} pixels, got ${images.length}`, imageRemedy(network));
  const bad = labels.findIndex((label) => label > 1);
  if (bad >= 0) fail('batch', `label ${bad} is ${labels[bad]}, expected 0 or 1`);
  return count;
}
