/** @file Step: draw the one initial model, at the orchestrator. */
import type { z } from 'zod';
import { initialParameters } from '../engine/index.ts';
import { outputPath, type StepContext } from './component.ts';
import { writeModel } from './model-file.ts';
import type { initialModelParameters } from './specs.ts';

export async function run(context: StepContext<z.infer<typeof initialModelParameters>>): Promise<void> {
  const { network, seed } = context.parameters;
  await writeModel(outputPath(context, 'model'), { network, parameters: initialParameters(network, seed) });
}
