import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sha256 } from '../base/index.ts';
import { run } from './collect-evidence.ts';
import { writeEarlyStopping } from './early-stopping.ts';
import { evidenceSchema } from './evidence.ts';
import { readModelCard } from './model-card-file.ts';
import { MODEL_FILE } from './model-file.ts';
import { evidenceParameters } from './specs.ts';
import { evaluationOf, openFolder, stepContext } from './testing.ts';

/** The evidence of two iterations at two hospitals where early stopping spoke at one of them, or never. */
async function evidenceOf(context: TestContext, planned: number, stoppedAfter?: number) {
  const folder = await openFolder(context);
  const inputs: Record<string, string> = {};
  const silos = ['silo0', 'silo1'];
  for (let iteration = 1; iteration <= planned; iteration++) {
    const name = `iteration_${iteration}`;
    inputs[`model_${name}`] = await folder.model(name, iteration);
    for (const [index, silo] of silos.entries())
      inputs[`evaluation_${index + 1}_${iteration}`] = await folder.evaluation(evaluationOf(silo, name, iteration - 1));
  }
  if (stoppedAfter !== undefined)
    await writeEarlyStopping(inputs[`model_iteration_${planned}`]!, { iterations: [], stoppedAfter });
  const parameters = evidenceParameters.parse({
    num_of_iterations: planned,
    silos,
    training: {
      recipe: 'seed',
      network: 'pneumonia',
      optimizer: { kind: 'sgd' },
      lr_schedule: { kind: 'constant' },
      class_weights: 'none',
      threshold: 0.5,
    },
    config: {},
    seed: 1,
  });
  const [evidence, best, last] = await Promise.all(['evidence', 'best', 'last'].map(folder.make));
  await run(stepContext(parameters, inputs, { evidence: evidence!, best_model: best!, last_model: last! }));
  const written = evidenceSchema.parse(JSON.parse(await readFile(join(evidence!, 'evidence.json'), 'utf8')));
  return { evidence: written, card: await readModelCard(join(best!, MODEL_FILE)), best: join(best!, MODEL_FILE) };
}

test('training was stopped early only where iterations were left', async (context) => {
  const early = await evidenceOf(context, 3, 2);
  assert.deepEqual([early.evidence.stoppedAfter, early.evidence.iterations.length], [2, 2]);
  assert.equal(early.card?.model.stoppedEarly, true);
  const atTheEnd = await evidenceOf(context, 2, 2);
  assert.deepEqual([atTheEnd.evidence.stoppedAfter, atTheEnd.evidence.iterations.length], [undefined, 2]);
  assert.equal(atTheEnd.card?.model.stoppedEarly, false);
  assert.equal((await evidenceOf(context, 2)).card?.model.stoppedEarly, false);
});

test('the best model has its card, which names its hash', async (context) => {
  const { evidence, card, best } = await evidenceOf(context, 2);
  assert.equal(evidence.best, 'iteration_1');
  assert.equal(card?.model.sha256, sha256(await readFile(best)));
});
