/** @file Step: evaluate models on one hospital's val and test images. Scores stay in this process; counts and intervals leave. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { evaluate, openEngine } from '../engine/index.ts';
import { readPrepared } from '../radiographs/index.ts';
import { type SplitEvaluation, summariseScores } from '../reports/index.ts';
import { inputPath, inputsWithPrefix, outputPath, type StepContext } from './component.ts';
import { readDataFacts } from './data-facts.ts';
import type { SiloEvaluation } from './evidence.ts';
import { readModel } from './model-file.ts';
import type { evaluateParameters } from './specs.ts';

type Parameters = z.infer<typeof evaluateParameters>;

const SPLITS = ['val', 'test'] as const;

export async function run(context: StepContext<Parameters>): Promise<void> {
  const { parameters, report, threads } = context;
  const folder = inputPath(context, 'data');
  const sets = { val: await readPrepared(folder, 'val'), test: await readPrepared(folder, 'test') };
  const data = await readDataFacts(folder);
  const models = inputsWithPrefix(context, 'model_');
  for (const [index, [model, path]] of models.entries()) {
    const { network, parameters: weights } = await readModel(path);
    const engine = await openEngine(network, { threads, batchSize: parameters.batch_size, training: false });
    try {
      engine.load(weights);
      const evaluation: Partial<Record<(typeof SPLITS)[number], SplitEvaluation>> = {};
      for (const split of SPLITS) {
        const set = sets[split];
        const { probabilities } = await evaluate(engine, set);
        const { labels, patients } = set;
        const { threshold, seed } = parameters;
        evaluation[split] = summariseScores({ probabilities, labels, patients, threshold, seed });
      }
      const { val, test } = evaluation as Record<(typeof SPLITS)[number], SplitEvaluation>;
      const result: SiloEvaluation = { silo: parameters.metrics_prefix, model, data, val, test };
      await writeFile(join(outputPath(context, 'evaluation'), `${model}.json`), `${JSON.stringify(result)}\n`);
      reportMetrics(context, model, result);
    } finally {
      await engine.close();
    }
    report.progress(index + 1, models.length, 'models evaluated');
  }
}

/** Under the Azure ML example's names, and ours. */
function reportMetrics(
  { parameters, report }: StepContext<Parameters>,
  model: string,
  { silo, val, test }: SiloEvaluation,
) {
  const iteration = parameters.iteration_num;
  const prefix = `${iteration === undefined ? model : `iteration_${iteration}`}/${silo}`;
  const figures = [
    ['Test Loss', test.logLoss],
    ['Test Accuracy', test.accuracy],
    ['Test AUROC', test.auroc],
    ['Val AUROC', val.auroc],
  ] as const;
  for (const [name, value] of figures) if (value !== null) report.metric(`${prefix}/${name}`, value, iteration);
}
