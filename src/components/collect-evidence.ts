/** @file Step: pool the hospitals' evaluations and name the best and the last model, at the orchestrator. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { z } from 'zod';
import { fail } from '../base/index.ts';
import {
  atOperatingPoint,
  chooseThreshold,
  DEFAULT_THRESHOLD,
  type OperatingPoint,
  poolEvaluations,
} from '../reports/index.ts';
import { inputsWithPrefix, outputPath, type StepContext } from './component.ts';
import { checkShares } from './data-facts.ts';
import { readEarlyStopping } from './early-stopping.ts';
import { readEvaluations } from './evaluation-files.ts';
import { bestIteration, type Evidence, type ModelEvidence, type SiloEvaluation } from './evidence.ts';
import { cardFiles, modelCard } from './model-card-file.ts';
import { copyModel, MODEL_FILE, readModel, writeModel } from './model-file.ts';
import type { evidenceParameters } from './specs.ts';

export async function run(context: StepContext<z.infer<typeof evidenceParameters>>): Promise<void> {
  const { parameters, report } = context;
  const models = new Map(inputsWithPrefix(context, 'model_'));
  const evaluations = new Map<string, SiloEvaluation[]>();
  for (const [source, folder] of inputsWithPrefix(context, 'evaluation_')) {
    const [number, iteration] = source.split('_');
    const silo = parameters.silos[Number(number) - 1];
    for (const evaluation of await readEvaluations(folder)) {
      const isIteration = evaluation.model === `iteration_${iteration}`;
      if (evaluation.silo !== silo || isIteration !== (iteration !== 'comparison')) {
        fail(
          `evaluation of ${silo}`,
          `it speaks of ${evaluation.model} at ${evaluation.silo}`,
          'the evaluation is not used',
        );
      }
      evaluations.set(evaluation.model, [...(evaluations.get(evaluation.model) ?? []), evaluation]);
    }
  }
  const { seed } = parameters;
  const points = new Map<string, OperatingPoint>();
  const evidenceOf = async (model: string): Promise<ModelEvidence> => {
    const evaluated = evaluations.get(model) ?? fail(`evidence: ${model}`, 'no hospital evaluated this model');
    const point = chooseThreshold(
      evaluated.map(({ val }) => val),
      parameters.training.threshold,
    );
    points.set(model, point);
    const silos = evaluated.map((silo) => ({
      ...silo,
      val: atOperatingPoint(silo.val, point, seed),
      test: atOperatingPoint(silo.test, point, seed),
    }));
    const path = models.get(model);
    const pooled = (split: 'val' | 'test') =>
      poolEvaluations(
        silos.map((silo) => silo[split]),
        { seed },
      );
    return {
      model,
      ...(path === undefined ? {} : { sha256: await hashFile(join(path, MODEL_FILE)) }),
      val: pooled('val'),
      test: pooled('test'),
      silos,
    };
  };
  checkShares([...evaluations.values()][0]?.map(({ silo, data }) => ({ silo, share: data.share })) ?? []);
  const planned = parameters.num_of_iterations;
  const final = models.get(`iteration_${planned}`);
  // Where the federation stood still, the later iterations' models are the same one.
  const { stoppedAfter } = final === undefined ? {} : await readEarlyStopping(final, planned);
  const stoppedEarly = stoppedAfter !== undefined && stoppedAfter < planned;
  const names = Array.from({ length: stoppedAfter ?? planned }, (_, index) => `iteration_${index + 1}`);
  const iterations = await Promise.all(names.map(evidenceOf));
  const comparisons = await Promise.all(
    [...evaluations.keys()].filter((model) => !model.startsWith('iteration_')).map(evidenceOf),
  );
  const best = bestIteration(iterations, seed);
  const last = names.at(-1)!;
  const deliver = (model: string, output: 'best_model' | 'last_model'): Promise<string> =>
    deliverModel(
      models.get(model) ?? fail(`evidence: ${model}`, 'the model is missing'),
      outputPath(context, output),
      points.get(model)!.threshold,
    );
  const evidence: Evidence = {
    version: 1,
    iterations,
    best: best.model,
    bestBy: best.by,
    last,
    thresholdBy: points.get(best.model)!.by,
    files: { best: await deliver(best.model, 'best_model'), last: await deliver(last, 'last_model') },
    // At the last planned iteration nothing was left to stop.
    ...(stoppedEarly ? { stoppedAfter } : {}),
    training: parameters.training,
    comparisons,
  };
  await writeFile(join(outputPath(context, 'evidence'), 'evidence.json'), `${JSON.stringify(evidence)}\n`);
  for (const chosen of ['best', 'last'] as const) {
    const file = join(outputPath(context, `${chosen}_model`), MODEL_FILE);
    const { network } = await readModel(file);
    const card = modelCard({ evidence, chosen, network, config: parameters.config });
    for (const [path, text] of Object.entries(cardFiles(file, card))) await writeFile(path, text);
  }
  for (const [index, { val, test }] of iterations.entries()) {
    if (val.auroc !== null) report.metric('Pooled Val AUROC', val.auroc, index + 1);
    if (test.auroc !== null) report.metric('Pooled Test AUROC', test.auroc, index + 1);
  }
}

/** Puts a model into a folder, with its threshold where that is not the default; returns the file's SHA-256. */
async function deliverModel(from: string, folder: string, threshold: number): Promise<string> {
  if (threshold === DEFAULT_THRESHOLD) await copyModel(from, folder);
  else await writeModel(folder, { ...(await readModel(from)), threshold });
  return hashFile(join(folder, MODEL_FILE));
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
