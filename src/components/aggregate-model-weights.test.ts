import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FedradError } from '../base/index.ts';
import { run } from './aggregate-model-weights.ts';
import { readEarlyStopping, writeEarlyStopping } from './early-stopping.ts';
import { aggregateParameters } from './specs.ts';
import { evaluationOf, openFolder, stepContext } from './testing.ts';
import { writeUpdateNote } from './update-file.ts';

const silos = ['silo0', 'silo1'];

/** The aggregation of iteration 3, after a first iteration without a mistake; `wrong` has each hospital's mistakes in the second. */
async function third(context: TestContext, wrong: readonly (number | undefined)[]) {
  const folder = await openFolder(context);
  const checkpoint = await folder.model('checkpoint', 1);
  const before = { iterations: [{ auroc: 1, logLoss: 0.1 }] };
  await writeEarlyStopping(checkpoint, before);
  const inputs: Record<string, string> = { checkpoint };
  for (const [index, silo] of silos.entries()) {
    const update = await folder.model(silo, 2);
    await writeUpdateNote(update, { silo, examples: 5 });
    inputs[`input_silo_${index + 1}`] = update;
    if (wrong[index] !== undefined)
      inputs[`evaluation_${index + 1}`] = await folder.evaluation(evaluationOf(silo, 'iteration_2', wrong[index]));
  }
  const output = await folder.make('output');
  const parameters = aggregateParameters.parse({
    iteration_num: 3,
    aggregation: 'examples',
    strategy: 'fedavg',
    server_lr: 1,
    server_momentum: 0.9,
    silos,
    patience: 1,
  });
  const step = stepContext(parameters, inputs, { aggregated_output: output });
  return { before, output, step, inputs };
}

test('training ends where every hospital evaluated a model that is no better', async (context) => {
  const { output, step } = await third(context, [2, 2]);
  await run(step);
  const { iterations, stoppedAfter } = await readEarlyStopping(output, 3);
  assert.deepEqual([iterations.length, stoppedAfter], [2, 3]);
  assert.match(step.notes.join(), /this one is the last/);
});

test('an iteration that not every hospital evaluated does not count, and nothing of it is told', async (context) => {
  for (const wrong of [
    [undefined, undefined],
    [2, undefined],
    [undefined, 4],
  ]) {
    const { before, output, step } = await third(context, wrong);
    await run(step);
    assert.deepEqual(await readEarlyStopping(output, 3), before);
    assert.match(step.notes.join(), /iteration 2 was evaluated by [01] of 2 hospitals; it does not count/);
  }
});

test('an evaluation that is no JSON is refused, and no model is written', async (context) => {
  const { output, step, inputs } = await third(context, [0, 0]);
  await writeFile(join(inputs['evaluation_2']!, 'iteration_2.json'), '{"silo": ');
  await assert.rejects(run(step), (error) => error instanceof FedradError && /not JSON/.test(error.message));
  assert.deepEqual(await readEarlyStopping(output, 3), { iterations: [] });
});
