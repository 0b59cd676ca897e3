/** @file `fedrad model card`: what a model is, what it was trained on, what was measured and what was not. */
import type { Command } from 'commander';
import { fail } from '../base/index.ts';
import { readModelCard } from '../components/index.ts';
import { type ModelCard, renderModelCard } from '../reports/index.ts';
import { printJson } from './context.ts';
import { type FoundModel, findModel, type ModelChoice, modelOptions } from './find-model.ts';
import { packageVersion } from './package-version.ts';

export function addCardCommand(group: Command): void {
  modelOptions(group.command('card'))
    .description('print the model card: what the model is, what was measured and what was not')
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExample:\n  fedrad model card --model calm_lung_7f3k2q > model-card.md')
    .action(async (options: ModelChoice & { json?: boolean }, command: Command) => {
      const found = await findModel(options, command);
      const card = await cardOf(found);
      if (!card)
        return fail(
          options.model,
          'no model card lies beside this model',
          'name its run, or train it with this version',
        );
      if (options.json) printJson(card);
      else process.stdout.write(renderModelCard(card));
    });
}

/** The card beside a model, with its run where that is known; undefined where there is none. */
export async function cardOf({ file, run }: FoundModel): Promise<ModelCard | undefined> {
  const card = await readModelCard(file);
  return card && run ? { ...card, run: { ...run, fedrad: packageVersion } } : card;
}
