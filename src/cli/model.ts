/** @file `fedrad model`: evaluate a model on a folder of radiographs, score single images, export it, show its card. */
import type { Command } from 'commander';
import { fail } from '../base/index.ts';
import { readModel } from '../components/index.ts';
import { listLabelledFolder } from '../radiographs/index.ts';
import { DEFAULT_THRESHOLD, evaluateScores } from '../reports/index.ts';
import { printJson, table } from './context.ts';
import { findModel, type ModelChoice, modelOptions } from './find-model.ts';
import { addCardCommand } from './model-card.ts';
import { addExportCommand } from './model-export.ts';
import { addPredictCommand } from './model-predict.ts';
import { thresholdOption } from './options.ts';
import { scoreImages } from './score-images.ts';

const BOOTSTRAP_SEED = 31415;

export function addModelCommands(root: Command): void {
  const group = root.command('model').description('use a trained model');
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
      const model = await readModel((await findModel(options, command)).file);
      const threshold = options.threshold ?? model.threshold ?? DEFAULT_THRESHOLD;
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
      if (used.length === 0) fail(options.data, 'no image could be read', 'give JPEG or PNG files');
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
      if (options.json) return printJson({ ...figures, offered: images.length, unreadable });
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
      console.log(
        table(
          ['FIGURE', 'VALUE', '95 % INTERVAL'],
          [row('auroc'), row('accuracy'), row('sensitivity'), row('specificity')],
        ),
      );
    });
}

/** Equal names become equal numbers. */
function numbered(names: readonly string[]): number[] {
  const numbers = new Map<string, number>();
  return names.map((name) => {
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    return numbers.get(name)!;
  });
}
