/**
 * @file Early stopping in a federation. The graph of steps is static, so a federation stops by standing still: the aggregation marks
 * its model as the last one, and what follows hands it on unchanged.
 *
 * The aggregation of iteration k knows the evaluations of iteration k - 1, which run beside the training of k: it stops once the best
 * of these is `patience` iterations old, and uses the updates of k all the same. An iteration that not every hospital evaluated (where
 * min_silos lets one fail) does not count, neither as the best nor towards the patience: figures over other images do not compare.
 *
 * What lies beside the model goes to every hospital: for each iteration that counts, AUROC and loss pooled over all of them. With two
 * hospitals that tells each roughly how the other one's images did.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { isBetter } from './evidence.ts';
import { readJson } from './read-json.ts';

const STATE_FILE = 'early-stopping.json';

const stateSchema = z.strictObject({
  /** Pooled validation figures of each model that every hospital evaluated, in the order of the iterations. */
  iterations: z.array(z.strictObject({ auroc: z.number().nullable(), logLoss: z.number().nullable() })),
  /** The iteration whose model is the last one. */
  stoppedAfter: z.int().positive().optional(),
});

export type EarlyStoppingState = z.infer<typeof stateSchema>;

/** The state beside the model of this iteration; an empty one where there is none. Throws FedradError where it cannot be of it. */
export async function readEarlyStopping(folder: string, iteration: number): Promise<EarlyStoppingState> {
  const file = join(folder, STATE_FILE);
  if (!existsSync(file)) return { iterations: [] };
  const remedy = 'resume a run only with its own files';
  const state = await readJson(file, stateSchema, remedy);
  const { iterations, stoppedAfter = 0 } = state;
  if (stoppedAfter > iteration)
    fail(
      file,
      `it says that training ended after iteration ${stoppedAfter}, beside the model of iteration ${iteration}`,
      remedy,
    );
  if (iterations.length > iteration)
    fail(file, `it has ${iterations.length} evaluations, beside the model of iteration ${iteration}`, remedy);
  return state;
}

export const writeEarlyStopping = (folder: string, state: EarlyStoppingState): Promise<void> =>
  writeFile(join(folder, STATE_FILE), `${JSON.stringify(state)}\n`);

/** The state after the evaluation of one more iteration, at the aggregation of `iteration`. */
export function afterEvaluation(
  { iterations }: EarlyStoppingState,
  evaluated: EarlyStoppingState['iterations'][number],
  { iteration, patience }: { iteration: number; patience: number },
): EarlyStoppingState {
  const all = [...iterations, { auroc: evaluated.auroc, logLoss: evaluated.logLoss }];
  const best = all.reduce((a, b, index) => (isBetter(b, all[a]!) ? index : a), 0);
  const stops = all.length - 1 - best >= patience;
  return { iterations: all, ...(stops ? { stoppedAfter: iteration } : {}) };
}
