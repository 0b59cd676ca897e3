/** @file Step: check the silos' updates and make the next global model, at the orchestrator. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import {
  checkParameters,
  decodeSafetensors,
  fail,
  type ParameterSet,
  safetensorsParts,
  shapesOf,
} from '../base/index.ts';
import { parameterShapes } from '../engine/index.ts';
import { average, checkUpdate, STRATEGIES, type Update } from '../federation/index.ts';
import { poolEvaluations } from '../reports/index.ts';
import { inputPath, inputsWithPrefix, outputPath, type StepContext } from './component.ts';
import { afterEvaluation, type EarlyStoppingState, readEarlyStopping, writeEarlyStopping } from './early-stopping.ts';
import { readEvaluations } from './evaluation-files.ts';
import type { SiloEvaluation } from './evidence.ts';
import { copyModel, readModel, writeModel } from './model-file.ts';
import type { aggregateParameters } from './specs.ts';
import { readUpdateNote } from './update-file.ts';

/** The server strategy's state lies beside the global model that it belongs to. */
const STATE_FILE = 'server-state.safetensors';

export async function run(context: StepContext<z.infer<typeof aggregateParameters>>): Promise<void> {
  const { parameters, report } = context;
  const checkpoint = inputPath(context, 'checkpoint');
  const folder = outputPath(context, 'aggregated_output');
  const stopping = await earlyStopping(context, checkpoint);
  if (parameters.patience !== undefined) await writeEarlyStopping(folder, stopping);
  if (stopping.stoppedAfter !== undefined && stopping.stoppedAfter < parameters.iteration_num) {
    await copyModel(checkpoint, folder);
    return;
  }
  const { network, parameters: global } = await readModel(checkpoint);
  const expected = parameterShapes(network);
  const updates: Update[] = [];
  for (const [number, folder] of inputsWithPrefix(context, 'input_silo_')) {
    const note = await readUpdateNote(folder);
    const silo = parameters.silos[Number(number) - 1];
    if (note.silo !== silo) fail(`update of ${silo}`, `it says that it is of ${note.silo}`, 'the update is not used');
    const update: Update = { ...note, parameters: (await readModel(folder, `update of ${note.silo}`)).parameters };
    checkUpdate(update, expected);
    updates.push(update);
    report.progress(updates.length, inputsWithPrefix(context, 'input_silo_').length, 'updates checked');
  }
  const next = STRATEGIES[parameters.strategy](
    global,
    average(updates, parameters.aggregation),
    await readState(checkpoint, global),
    { serverLearningRate: parameters.server_lr, serverMomentum: parameters.server_momentum },
  );
  // A step far outside the range of float32 must not become the global model.
  checkParameters(next.parameters, expected, 'aggregated model');
  await writeModel(folder, { network, parameters: next.parameters });
  if (next.state) await writeFile(join(folder, STATE_FILE), safetensorsParts({ parameters: next.state, metadata: {} }));
  report.metric(`iteration_${parameters.iteration_num}/Silos`, updates.length, parameters.iteration_num);
  report.metric(
    `iteration_${parameters.iteration_num}/Training Images`,
    updates.reduce((sum, { examples }) => sum + examples, 0),
    parameters.iteration_num,
  );
}

/** What the checkpoint's evaluation, where there is one, says on stopping. */
async function earlyStopping(
  context: StepContext<z.infer<typeof aggregateParameters>>,
  checkpoint: string,
): Promise<EarlyStoppingState> {
  const { iteration_num: iteration, patience, silos } = context.parameters;
  const state = await readEarlyStopping(checkpoint, iteration - 1);
  if (patience === undefined || iteration === 1 || state.stoppedAfter !== undefined) return state;
  const evaluations: SiloEvaluation[] = [];
  for (const [number, folder] of inputsWithPrefix(context, 'evaluation_')) {
    const silo = silos[Number(number) - 1];
    const [evaluation, ...more] = await readEvaluations(folder);
    if (!evaluation || evaluation.silo !== silo || evaluation.model !== `iteration_${iteration - 1}` || more.length > 0)
      return fail(
        `evaluation of ${silo}`,
        `it is not of iteration ${iteration - 1} there`,
        'the evaluation is not used',
      );
    evaluations.push(evaluation);
  }
  // Of other hospitals the figures would not compare, and fewer could be a single one, whose own they would be.
  if (evaluations.length < silos.length) {
    const how = `${evaluations.length} of ${silos.length} hospitals`;
    context.report.note(`early stopping: iteration ${iteration - 1} was evaluated by ${how}; it does not count`);
    return state;
  }
  // No interval is used here.
  const pooled = poolEvaluations(
    evaluations.map(({ val }) => val),
    { seed: 0, replicates: 1 },
  );
  const next = afterEvaluation(state, pooled, { iteration, patience });
  if (next.stoppedAfter !== undefined)
    context.report.note(`early stopping: no better model for ${patience} iterations; this one is the last`);
  return next;
}

async function readState(checkpoint: string, global: ParameterSet): Promise<ParameterSet | undefined> {
  const file = join(checkpoint, STATE_FILE);
  if (!existsSync(file)) return undefined;
  const { parameters } = decodeSafetensors(await readFile(file), file);
  checkParameters(parameters, shapesOf(global), file);
  return parameters;
}
