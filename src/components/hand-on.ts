/** @file A training step after early stopping: it hands on the model that training ended with. */
import { readPrepared } from '../radiographs/index.ts';
import { inputPath, inputsWithPrefix, outputPath, type StepContext } from './component.ts';
import { readEarlyStopping } from './early-stopping.ts';
import { copyModel } from './model-file.ts';
import { writeUpdateNote } from './update-file.ts';

/** Where training has ended: writes the checkpoint as this silo's update, and says true. */
export async function handOn(context: StepContext<{ readonly iteration_num: number }>, silo: string): Promise<boolean> {
  const checkpoint = inputPath(context, 'checkpoint');
  const { stoppedAfter } = await readEarlyStopping(checkpoint, context.parameters.iteration_num - 1);
  if (stoppedAfter === undefined) return false;
  let examples = 0;
  for (const [, folder] of inputsWithPrefix(context, 'data_'))
    examples += (await readPrepared(folder, 'train')).labels.length;
  const folder = outputPath(context, 'model');
  await copyModel(checkpoint, folder);
  await writeUpdateNote(folder, { silo, examples });
  context.report.note(
    `early stopping: training ended after iteration ${stoppedAfter}; the model is handed on unchanged`,
  );
  return true;
}
