/** @file The evaluations that hospitals hand to the orchestrator: a folder of JSON files, one a model, each checked before use. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type SiloEvaluation, siloEvaluationSchema } from './evidence.ts';
import { readJson } from './read-json.ts';

export async function readEvaluations(folder: string): Promise<SiloEvaluation[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json')).sort();
  return Promise.all(
    files.map((file) => readJson(join(folder, file), siloEvaluationSchema, 'the evaluation is not used')),
  );
}
