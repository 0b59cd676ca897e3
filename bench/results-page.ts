/** @file docs/results.md has two authors: `npm run results` writes its experiments, `npm run ablation` its last section. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const path = join(import.meta.dirname, '..', 'docs', 'results.md');
const HEADING = '## Which recipe generalises';

const split = (): { readonly experiments: string; readonly recipes: string } => {
  const text = readFileSync(path, 'utf8');
  const at = text.indexOf(HEADING);
  return at < 0 ? { experiments: text, recipes: '' } : { experiments: text.slice(0, at), recipes: text.slice(at) };
};

const write = (experiments: string, recipes: string): void =>
  writeFileSync(path, `${experiments.trimEnd()}\n${recipes === '' ? '' : `\n${recipes}`}`);

export const writeExperiments = (experiments: string): void => write(experiments, split().recipes);

/** `plan`: what was held out and trained on; `table`: a line for each recipe. */
export const writeRecipes = (plan: string, table: string): void =>
  write(
    split().experiments,
    `${HEADING}

Made by \`npm run ablation -- --data <chest_xray> --docs\`: ${plan}. AUROC of held-out patients as their images are, and as
other acquisitions would have shown them. What the columns mean, each shift, and what this cannot tell: [recipe.md](recipe.md).

${table}
`,
  );
