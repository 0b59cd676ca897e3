/** @file Step: train the global model on one hospital's images (or, as a comparison on one machine, on those of several). */
import type { z } from 'zod';
import { hasSecondMoments, openEngine, train } from '../engine/index.ts';
import { type PreparedImages, readPrepared } from '../radiographs/index.ts';
import { inputPath, inputsWithPrefix, outputPath, type StepContext } from './component.ts';
import { handOn } from './hand-on.ts';
import { readModel, writeModel } from './model-file.ts';
import type { trainParameters } from './specs.ts';
import { writeUpdateNote } from './update-file.ts';

export async function run(context: StepContext<z.infer<typeof trainParameters>>): Promise<void> {
  const { parameters, report, threads } = context;
  const { metrics_prefix: silo, iteration_num: iteration, epochs, batch_size: batchSize } = parameters;
  if (await handOn(context, silo)) return;
  const sets: PreparedImages[] = [];
  for (const [, folder] of inputsWithPrefix(context, 'data_')) sets.push(await readPrepared(folder, 'train'));
  const data = joined(sets);
  const { network, parameters: global } = await readModel(inputPath(context, 'checkpoint'));
  const { optimizer: optimiser } = parameters;
  const engine = await openEngine(network, { threads, batchSize, secondMoments: hasSecondMoments(optimiser) });
  try {
    report.note(`kernels ${JSON.stringify(engine.kernels)}`);
    engine.load(global);
    const { epochs: history } = await train(
      engine,
      data,
      {
        epochs,
        batchSize,
        learningRate: parameters.lr,
        optimiser,
        schedule: parameters.lr_schedule,
        firstEpoch: (iteration - 1) * epochs,
        totalEpochs: parameters.num_of_iterations * epochs,
        classWeights: parameters.class_weights,
        ...(parameters.augmentation === undefined ? {} : { augmentation: parameters.augmentation }),
        proximalMu: parameters.proximal_mu,
        seed: parameters.seed,
        stream: [silo, iteration],
      },
      ({ epoch, batch, batches, loss }) =>
        report.progress(
          epoch * batches + batch + 1,
          epochs * batches,
          `epoch ${epoch + 1}/${epochs}, loss ${loss.toFixed(4)}`,
        ),
    );
    for (const [index, { loss, accuracy }] of history.entries()) {
      const position = (iteration - 1) * epochs + index + 1;
      report.metric(`iteration_${iteration}/${silo}/Train Loss`, loss, position);
      report.metric(`iteration_${iteration}/${silo}/Train Accuracy`, accuracy, position);
    }
    const folder = outputPath(context, 'model');
    await writeModel(folder, { network, parameters: engine.parameters() });
    await writeUpdateNote(folder, { silo, examples: data.labels.length });
  } finally {
    await engine.close();
  }
}

/** The sets one after another. */
function joined(sets: readonly PreparedImages[]): Pick<PreparedImages, 'images' | 'labels'> {
  if (sets.length === 1) return sets[0]!;
  return {
    images: new Uint8Array(Buffer.concat(sets.map(({ images }) => images))),
    labels: new Uint8Array(Buffer.concat(sets.map(({ labels }) => labels))),
  };
}
