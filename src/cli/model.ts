/** @file `fedrad model`: evaluate a model on a folder of radiographs, score single images, export it, show its card. */
import type { Command } from 'commander';
import { fail } from '../base/index.ts';
import { listLabelledFolder } from '../radiographs/index.ts';
import { evaluateScores } from '../reports/index.ts';
import { printJson, table } from './context.ts';
import { type ModelChoice, modelOptions } from './find-model.ts';
import { addCardCommand } from './model-card.ts';
import { addExportCommand } from './model-export.ts';
import { addPredictCommand } from './model-predict.ts';
import { thresholdOption } from './options.ts';
import { type Scored, scoreImages } from './score-images.ts';
import { describeThreshold, useModel, warnOfModel } from './use-model.ts';

const BOOTSTRAP_SEED = 31415;

export function addModelCommands(root: Command): void {
  const group = root
    .command('model')
    .description('use a trained model')
    .addHelpText(
      'after',
      '\nExample:\n  fedrad model evaluate --model calm_lung_7f3k2q --data chest_xray/test\n  fedrad model predict --model calm_lung_7f3k2q image1.jpeg',
    );
  addEvaluateCommand(group);
  addPredictCommand(group);
  addExportCommand(group);
  addCardCommand(group);
}

interface EvaluateOptions extends ModelChoice {
  readonly data: string;
  /** Default: the model's own, else 0.5. */
  readonly threshold?: number;
  readonly json?: boolean;
}

function addEvaluateCommand(group: Command): void {
  modelOptions(group.command('evaluate'))
    .description('AUROC, sensitivity and specificity with 95 % intervals on a folder with NORMAL/ and PNEUMONIA/')
    .requiredOption('--data <folder>', 'a folder with NORMAL/ and PNEUMONIA/ of JPEG or PNG files')
    .option(...thresholdOption)
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExample:\n  fedrad model evaluate --model calm_lung_7f3k2q --data chest_xray/test --json')
    .action(async (options: EvaluateOptions, command: Command) => {
      const images = await listLabelledFolder(options.data);
      const patients = numbered(images.map(({ patient }) => patient));
      const chosen = await useModel(options, command);
      const { model, threshold, thresholdFrom } = chosen;
      const scored = await scoreImages(
        model,
        images.map(({ path }) => path),
        { threshold },
      );
      const used = images.flatMap((image, index) =>
        scored[index]!.probability === undefined
          ? []
          : [{ ...image, patient: patients[index]!, probability: scored[index]!.probability }],
      );
      if (used.length === 0)
        fail(
          options.data,
          `no image could be read${scored[0] ? ` (the first: ${scored[0].error})` : ''}`,
          'give JPEG or PNG files',
        );
      warnOfModel(chosen);
      tellUnreadable(scored);
      const unreadable = images.length - used.length;
      const {
        roc: _roc,
        calibration: _calibration,
        ...figures
      } = evaluateScores({
        probabilities: Float64Array.from(used, ({ probability }) => probability),
        labels: Uint8Array.from(used, ({ label }) => Number(label === 'PNEUMONIA')),
        patients: Int32Array.from(used, ({ patient }) => patient),
        threshold,
        seed: BOOTSTRAP_SEED,
      });
      // As predict does: whoever calls it from a script must see that images are missing.
      if (unreadable > 0) process.exitCode = 1;
      if (options.json) return printJson({ ...figures, thresholdFrom, offered: images.length, unreadable });
      const row = (name: 'auroc' | 'accuracy' | 'sensitivity' | 'specificity'): string[] => {
        const [value, interval] = [figures[name], figures[`${name}_ci95`]];
        return [
          name,
          value === null ? `not measured: ${figures.notMeasured[name] ?? ''}` : value.toFixed(3),
          interval ? `${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}` : '',
        ];
      };
      console.log(
        `${figures.n} of ${images.length} images used (${unreadable} unreadable), ${figures.patients} patients, ${figures.positives} with pneumonia`,
      );
      const missing = figures.positives === 0 ? 'PNEUMONIA' : figures.positives === figures.n ? 'NORMAL' : undefined;
      if (missing)
        console.log(
          `Every image that could be read is ${missing === 'NORMAL' ? 'PNEUMONIA' : 'NORMAL'}: the AUROC and the ${missing === 'NORMAL' ? 'specificity' : 'sensitivity'} need images of ${missing} too.`,
        );
      console.log(
        table(
          ['FIGURE', 'VALUE', '95 % INTERVAL'],
          [row('auroc'), row('accuracy'), row('sensitivity'), row('specificity')],
        ),
      );
      console.log(describeThreshold(chosen));
    });
}

const NAMED_IMAGES = 5;

/** Names the first images that could not be read, with the reason, on standard error. */
function tellUnreadable(scored: readonly Scored[]): void {
  const unreadable = scored.filter(({ error }) => error !== undefined);
  for (const { image, error } of unreadable.slice(0, NAMED_IMAGES)) console.error(`unreadable: ${image}: ${error}`);
  const more = unreadable.length - NAMED_IMAGES;
  if (more > 0) console.error(`unreadable: ${more} more`);
}

/** Equal names become equal numbers. */
function numbered(names: readonly string[]): number[] {
  const numbers = new Map<string, number>();
  return names.map((name) => {
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    return numbers.get(name)!;
  });
}
