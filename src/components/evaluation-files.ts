/** @file The evaluations that hospitals hand to the orchestrator: a folder of JSON files, one a model, each checked before use. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { type SiloEvaluation, siloEvaluationSchema } from './evidence.ts';

export async function readEvaluations(folder: string): Promise<SiloEvaluation[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json')).sort();
  return Promise.all(
    files.map(async (file) => {
      const result = siloEvaluationSchema.safeParse(JSON.parse(await readFile(join(folder, file), 'utf8')));
      return result.success
        ? result.data
        : fail(join(folder, file), z.prettifyError(result.error), 'the evaluation is not used');
    }),
  );
}
