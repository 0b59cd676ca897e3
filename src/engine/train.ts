/** @file Epochs over a hospital's images, and evaluation: loops around the engine's step. */
import { setImmediate } from 'node:timers/promises';
import { checkParameters, fail, type Label, openRng, streamKey } from '../base/index.ts';
import { type Augmentation, openAugmenter } from './augment.ts';
import { type ClassWeights, weightsFor } from './class-weights.ts';
import type { Engine, LabelledImages } from './engine.ts';
import { flatten } from './graph.ts';
import { type Network, parameterShapes } from './network.ts';
import { type Optimiser, type Schedule, sgd } from './optimiser.ts';
import { rateFactor } from './schedule.ts';

const CONSTANT: Schedule = { kind: 'constant', warmup_epochs: 0 };

export interface TrainOptions {
  readonly epochs: number;
  /** Images per step; at most the engine's. The last batch of an epoch may be shorter, as with PyTorch's DataLoader. */
  readonly batchSize: number;
  readonly learningRate: number;
  /** Factor on the learning rate, by the epoch. Default: constant. */
  readonly schedule?: Schedule;
  /** Epochs that came before these, and those of the whole training: a federation's iterations go on in one schedule. */
  readonly firstEpoch?: number;
  readonly totalEpochs?: number;
  /** Default SGD with momentum 0.9. */
  readonly optimiser?: Optimiser;
  readonly seed: number;
  /** What, with the seed, keys shuffling, dropout and augmentation: the silo and the iteration. */
  readonly stream: readonly Label[];
  /** FedProx: adds mu (w - w at the start) to the gradient. Default 0. */
  readonly proximalMu?: number;
  /** Default none. */
  readonly classWeights?: ClassWeights;
  /** How images are changed, anew in each epoch. Default: not at all. */
  readonly augmentation?: Augmentation;
}

export interface TrainProgress {
  /** 0-based. */
  readonly epoch: number;
  /** 0-based, below `batches`. */
  readonly batch: number;
  readonly batches: number;
  /** Mean cross-entropy of this batch, weighted by class where that is asked for. */
  readonly loss: number;
}

export interface EpochResult {
  /** Mean cross-entropy over the epoch's images, each before its batch's update, with dropout; class weights count within a batch. */
  readonly loss: number;
  /** Share of images classified correctly, likewise. */
  readonly accuracy: number;
}

/**
 * Trains the engine's present parameters. The same parameters, data and options give the same bits: shuffling is keyed by
 * (seed, stream, epoch), dropout by (seed, stream, epoch, batch), augmentation by (seed, stream, epoch, image).
 */
export async function train(
  engine: Engine,
  data: LabelledImages,
  options: TrainOptions,
  onBatch: (progress: TrainProgress) => void = () => {},
): Promise<{ readonly epochs: readonly EpochResult[] }> {
  const { batchSize, optimiser = sgd(), seed, stream, proximalMu = 0, augmentation } = options;
  const { schedule = CONSTANT, firstEpoch = 0, totalEpochs = firstEpoch + options.epochs } = options;
  const classWeights = weightsFor(options.classWeights ?? 'none', data.labels);
  const count = data.labels.length;
  const pixels = engine.network.imageSize ** 2;
  if (count === 0) fail('training data', 'no images', 'give this silo images or leave it out');
  if (!(Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= engine.batchSize))
    fail('batch size', `expected 1 to ${engine.batchSize}, got ${batchSize}`);
  checkBatchNorm(engine.network, count % batchSize === 1 || batchSize === 1);
  if (proximalMu > 0) engine.setAnchor();

  const batches = Math.ceil(count / batchSize);
  const augment =
    augmentation && openAugmenter(augmentation, engine.network.imageSize, streamKey(seed, 'augmentation', ...stream));
  const images = new Uint8Array(batchSize * pixels);
  const labels = new Uint8Array(batchSize);
  const epochs: EpochResult[] = [];
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    const order = openRng(seed, 'shuffle', ...stream, epoch).shuffle(Uint32Array.from({ length: count }, (_, i) => i));
    let [lossSum, correctSum] = [0, 0];
    for (let batch = 0; batch < batches; batch++) {
      const chosen = order.subarray(batch * batchSize, (batch + 1) * batchSize);
      for (const [i, from] of chosen.entries()) {
        const image = data.images.subarray(from * pixels, (from + 1) * pixels);
        if (augment) augment(image, epoch, from, images.subarray(i * pixels, (i + 1) * pixels));
        else images.set(image, i * pixels);
        labels[i] = data.labels[from]!;
      }
      const passed = firstEpoch + epoch + batch / batches;
      const learningRate = options.learningRate * rateFactor(schedule, passed, totalEpochs);
      const dropoutKey = streamKey(seed, 'dropout', ...stream, epoch, batch);
      const { loss, correct } = engine.step(
        { images: images.subarray(0, chosen.length * pixels), labels: labels.subarray(0, chosen.length) },
        { learningRate, optimiser, proximalMu, classWeights, dropoutKey },
      );
      if (!Number.isFinite(loss))
        fail('training', `the loss is ${loss} in epoch ${epoch + 1}, batch ${batch + 1}`, 'lower the learning rate');
      lossSum += loss * chosen.length;
      correctSum += correct;
      onBatch({ epoch, batch, batches, loss });
      // Lets the process write its progress and hear that it is to stop.
      await setImmediate();
    }
    epochs.push({ loss: lossSum / count, accuracy: correctSum / count });
  }
  checkParameters(engine.parameters(), parameterShapes(engine.network), 'training');
  return { epochs };
}

/** Throws where a batch norm would see one value a channel, whose variance says nothing; `ones`: a batch has one image. */
function checkBatchNorm({ layers, imageSize }: Network, ones: boolean): void {
  if (!ones) return;
  const { nodes, shapes } = flatten(layers, imageSize);
  for (const { layer, output } of nodes) {
    const { height, width } = shapes[output]!;
    if (layer.op === 'batch_norm2d' && height * width === 1)
      fail(
        'training',
        `batch norm "${layer.name}" gets one value a channel in a batch of 1 image`,
        'choose another batch_size',
      );
  }
}

/** P(PNEUMONIA) of each image and the mean cross-entropy, dropout off. */
export async function evaluate(
  engine: Engine,
  data: LabelledImages,
): Promise<{ readonly probabilities: Float32Array; readonly loss: number }> {
  const probabilities = engine.probabilities(data.images);
  let sum = 0;
  for (const [i, label] of data.labels.entries()) {
    const p = probabilities[i]!;
    sum -= Math.log(Math.max(label === 1 ? p : 1 - p, Number.MIN_VALUE));
  }
  return { probabilities, loss: sum / data.labels.length };
}
