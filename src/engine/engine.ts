/**
 * @file The engine: one network's parameters in one WebAssembly memory, and the training step over it.
 *
 * Forward, backward and update are phases of independent items (phases.ts) that a crew of threads works through
 * (crew.ts); the loss is computed in between (head.ts). Same parameters, batch and key give the same bits, whatever the
 * number of threads.
 */
import {
  checkParameters,
  fail,
  type ParameterSet,
  type ParameterShapes,
  type PhiloxKey,
  type Tensor,
} from '../base/index.ts';
import { openCrew } from './crew.ts';
import { featuresOf, fusedForm } from './fused.ts';
import { classOneProbabilities, type Head, headGradients } from './head.ts';
import { compileKernels, fusesMultiplyAdd, linkKernels } from './kernels.ts';
import { convertConv, convertDense, type Direction } from './layout.ts';
import { type Network, parameterShapes } from './network.ts';
import type { Optimiser } from './optimiser.ts';
import type { Job } from './phases.ts';
import { type Plan, planMemory, SETTINGS } from './plan.ts';
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
  /** Copies the parameters in and forgets the optimiser's state: velocity, moments, count of steps. Throws FedradError when they are not this network's. */
  load(parameters: ParameterSet): void;
  /** A copy of the parameters, in PyTorch's layouts. */
  parameters(): ParameterSet;
  /** A copy of SGD's velocity or Adam's first moment. After `load` and one step of plain SGD it is that step's gradient. */
  velocity(): ParameterSet;
  /** Keeps a copy of the present parameters as the point that `proximalMu` pulls towards. */
  setAnchor(): void;
  /** Forward, backward and update with 1..batchSize images. */
  step(batch: LabelledImages, options: StepOptions): StepResult;
  /** P(PNEUMONIA) of each image [N, H, W], dropout off; any N. */
  probabilities(images: Uint8Array): Float32Array;
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
  /** Room for the second moments of Adam and AdamW, as large as the parameters. Default false. */
  readonly secondMoments?: boolean;
}

const PAGE = 65536;
const FORWARD_ONLY: Omit<Job, 'images'> = { dropoutKey: undefined, adaptive: false, anchored: false };

/** Opens an engine with all parameters 0. Throws FedradError when the network does not fit into 4 GiB. */
export async function openEngine(network: Network, options: EngineOptions): Promise<Engine> {
  const { batchSize } = options;
  const sharedMemory = typeof SharedArrayBuffer !== 'undefined';
  const threads = sharedMemory ? options.threads : 1;
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    fail('engine', `expected 1 to 256 threads, got ${threads}`);
  if (!(Number.isInteger(batchSize) && batchSize >= 1))
    fail('engine', `expected a batch size of 1 or more, got ${batchSize}`);

  const fused = fusedForm(network) ?? fail('engine', 'no kernels for this network');
  const plan = planMemory(fused, batchSize, threads, options.secondMoments);
  const pages = (bytes: number): number => Math.ceil(bytes / PAGE);
  const memory = new WebAssembly.Memory({
    initial: pages(plan.bytes),
    maximum: pages(plan.bytesWithAnchor),
    shared: true,
  });
  const { module, relaxedSimd } = await compileKernels(options.relaxedSimd);
  const kernels = linkKernels(module, memory);
  const crew = await openCrew({ module, memory, plan }, kernels);
  const floats = (at: number, count: number): Float32Array => new Float32Array(memory.buffer, at, count);
  floats(plan.table, 256).set(normalisationTable(network));

  const { hidden: N } = fused;
  const head: Head = { weight: floats(plan.head + N * 4, 2 * N), bias: floats(plan.head + 12 * N, 2) };
  let anchored = false;
  let steps = 0;

  const runForward = (images: Uint8Array, job: Job): Float32Array => {
    new Uint8Array(memory.buffer, plan.images, images.length).set(images);
    crew.run('pack', job);
    crew.run('forward', job);
    crew.run('dense', job);
    crew.run('reduce', job);
    return floats(plan.hidden, job.images * N);
  };

  return {
    network,
    batchSize,
    kernels: { relaxedSimd, fusedMultiplyAdd: fusesMultiplyAdd(kernels), sharedMemory, threads },

    load(parameters) {
      checkParameters(parameters, parameterShapes(network), 'model');
      copyParameters(parameters, plan, memory, 'parameters', 'fromTorch');
      for (const [at, bytes] of [
        [plan.convVelocity, plan.convBytes],
        [plan.denseVelocity, plan.denseBytes],
        [plan.headVelocity, plan.headFloats * 4],
        [plan.convSecond, plan.convBytes],
        [plan.denseSecond, plan.denseBytes],
        [plan.headSecond, plan.headFloats * 4],
      ] as const) {
        if (at !== 0) new Uint8Array(memory.buffer, at, bytes).fill(0);
      }
      anchored = false;
      steps = 0;
    },

    parameters: () => readParameters(parameterShapes(network), plan, memory, 'parameters'),
    velocity: () => readParameters(parameterShapes(network), plan, memory, 'velocity'),

    setAnchor() {
      const missing = pages(plan.bytesWithAnchor) - memory.buffer.byteLength / PAGE;
      if (missing > 0) memory.grow(missing);
      const bytes = new Uint8Array(memory.buffer);
      bytes.copyWithin(plan.anchor, plan.conv, plan.conv + plan.convBytes);
      bytes.copyWithin(plan.anchor + plan.convBytes, plan.dense, plan.dense + plan.denseBytes);
      bytes.copyWithin(headAnchor(plan), plan.head, plan.head + plan.headFloats * 4);
      anchored = true;
    },

    step(batch, { learningRate, optimiser, dropoutKey, proximalMu = 0, classWeights }) {
      const images = checkBatch(batch, network, batchSize);
      if (proximalMu !== 0 && !anchored) throw new Error('engine: proximalMu needs setAnchor() first');
      const adaptive = hasSecondMoments(optimiser);
      if (adaptive && plan.headSecond === 0) throw new Error(`engine: ${optimiser.kind} needs secondMoments`);
      steps += 1;
      floats(SETTINGS, SETTINGS_FLOATS).set(updateSettings(optimiser, { learningRate, proximalMu, step: steps }));
      const job: Job = { images, dropoutKey, adaptive, anchored: proximalMu !== 0 };
      const h = runForward(batch.images, job);
      const { loss, correct, weight, bias, hidden } = headGradients(head, h, batch.labels, classWeights);
      // The kernels read the hidden gradient as [N/32, B, 32].
      const hiddenGradient = floats(plan.hiddenGradient, images * N);
      const hiddenBias = new Float64Array(N);
      for (let b = 0; b < images; b++) {
        for (let n = 0; n < N; n++) {
          const value = hidden[b * N + n]!;
          hiddenGradient[((n >> 5) * images + b) * 32 + (n & 31)] = value;
          hiddenBias[n]! += value;
        }
      }
      crew.run('denseBackward', job);
      crew.run('backward', job);
      crew.run('update', job);
      floats(plan.headGradient, plan.headFloats).set([...hiddenBias, ...weight, ...bias]);
      kernels.updateRange(
        plan.head,
        plan.headVelocity,
        adaptive ? plan.headSecond : 0,
        job.anchored ? headAnchor(plan) : 0,
        plan.headGradient,
        plan.headFloats * 4,
        SETTINGS,
      );
      return { loss, correct };
    },

    probabilities(images) {
      const pixels = network.imageSize ** 2;
      if (images.length % pixels !== 0)
        fail('images', `expected a multiple of ${pixels} pixels, got ${images.length}`, imageRemedy(network));
      const result = new Float32Array(images.length / pixels);
      for (let from = 0; from < result.length; from += batchSize) {
        const count = Math.min(batchSize, result.length - from);
        const batch = images.subarray(from * pixels, (from + count) * pixels);
        const h = runForward(batch, { ...FORWARD_ONLY, images: count });
        result.set(classOneProbabilities(head, h, count), from);
      }
      return result;
    },

    close: () => crew.close(),
  };
}

/** (value / 255 - mean) / std in single precision, as torchvision's ToTensor and Normalize compute it. */
const normalisationTable = ({ normalisation: { mean, std } }: Network): Float32Array =>
  Float32Array.from({ length: 256 }, (_, value) =>
    Math.fround(Math.fround(Math.fround(value / 255) - Math.fround(mean)) / Math.fround(std)),
  );

const imageRemedy = ({ imageSize }: Network): string => `prepare the images as ${imageSize}x${imageSize} grey`;

const headAnchor = (plan: Plan): number => plan.anchor + plan.convBytes + plan.denseBytes;

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

type Kind = 'parameters' | 'velocity';

function readParameters(shapes: ParameterShapes, plan: Plan, memory: WebAssembly.Memory, kind: Kind): ParameterSet {
  const copy = new Map<string, Tensor>();
  for (const [name, shape] of shapes) {
    copy.set(name, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
  }
  copyParameters(copy, plan, memory, kind, 'toTorch');
  return copy;
}

function copyParameters(
  parameters: ParameterSet,
  plan: Plan,
  memory: WebAssembly.Memory,
  kind: Kind,
  direction: Direction,
): void {
  const velocity = kind === 'velocity';
  const torch = (name: string): Float32Array => parameters.get(name)!.data;
  const kernel = (at: number, count: number): Float32Array => new Float32Array(memory.buffer, at, count);
  const copy = (name: string, at: number): void => {
    const [a, b] = [torch(name), kernel(at, torch(name).length)];
    if (direction === 'fromTorch') b.set(a);
    else a.set(b);
  };
  const conv = velocity ? plan.convVelocity : plan.conv;
  for (const [i, { weight, bias, inputs, outputs }] of plan.blocks.entries()) {
    const name = `conv${i + 1}`;
    convertConv(torch(`${name}.weight`), kernel(conv + weight, outputs * inputs * 9), outputs, inputs, direction);
    copy(`${name}.bias`, conv + bias);
  }
  const N = plan.network.hidden;
  const { size, channels } = featuresOf(plan.network);
  const dense = kernel(velocity ? plan.denseVelocity : plan.dense, plan.features * N);
  convertDense(torch('fc1.weight'), dense, N, size * size, channels, direction);
  const head = velocity ? plan.headVelocity : plan.head;
  copy('fc1.bias', head);
  copy('fc2.weight', head + N * 4);
  copy('fc2.bias', head + N * 12);
}
