/** @file docs/results.md has two authors: `npm run results` writes its experiments, `npm run ablation` its last two sections. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const path = join(import.meta.dirname, '..', 'docs', 'results.md');
const RECIPES = '## Which recipe generalises';
const FULL_SIZE = '## Recipes at full size';

interface Sections {
  readonly experiments: string;
  readonly recipes: string;
  readonly fullSize: string;
}

function split(): Sections {
  const text = readFileSync(path, 'utf8');
  const [before = '', fullSize] = text.split(FULL_SIZE);
  const [experiments = '', recipes] = before.split(RECIPES);
  return {
    experiments,
    recipes: recipes === undefined ? '' : RECIPES + recipes,
    fullSize: fullSize === undefined ? '' : FULL_SIZE + fullSize,
  };
}

function write(changed: Partial<Sections>): void {
  const { experiments, recipes, fullSize } = { ...split(), ...changed };
  const sections = [experiments, recipes, fullSize]
    .map((section) => section.trim())
    .filter((section) => section !== '');
  writeFileSync(path, `${sections.join('\n\n')}\n`);
}

export const writeExperiments = (experiments: string): void => write({ experiments });

/** `plan`: what was held out and trained on; `table`: a line for each recipe. */
export const writeRecipes = (plan: string, table: string): void =>
  write({
    recipes: `${RECIPES}

Made by \`npm run ablation -- --data <chest_xray> --docs\`: ${plan}. AUROC of held-out patients as their images are, and as
other acquisitions would have shown them. What the columns mean, each shift, and what this cannot tell: [recipe.md](recipe.md).

${table}`,
  });

/** Some recipes at their own size. */
export const writeFullSize = (plan: string, table: string): void =>
  write({
    fullSize: `${FULL_SIZE}

Made by \`npm run ablation -- --data <chest_xray> --only <recipe> … --docs\`: ${plan}, trained on all images of the other folds. Seconds are wall time on a
shared machine with 2 cores: \`npm run bench -- train\` compares speed.

${table}`,
  });
