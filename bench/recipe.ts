/**
 * @file Which recipe learns the disease rather than the scanner: `npm run ablation -- --data <chest_xray> [--folds 1] [--seeds 1]
 * [--only name]... [--reduced] [--images n] [--minutes m] [--threads 2] [--folder fedrad-ablation] [--json] [--docs]`.
 *
 * Trains every recipe of recipes.ts on patient-disjoint folds and prints one line each: AUROC on held-out patients as their
 * images are, and under the shifts of shift.ts. What was measured is kept in the folder, so a call that was stopped, or
 * ended after --minutes, goes on. --reduced is a fraction of the work, for a first look. --docs writes docs/recipe.md, and the table into docs/results.md;
 * with --only and without --reduced, these recipes at full size into docs/results.md alone.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fail, messageOf } from '../src/base/index.ts';
import { decodeRadiograph, listLabelledFolder } from '../src/radiographs/index.ts';
import { ablate, type Collection, heldOut, type Outcome, type Plan, tabulate } from './ablation.ts';
import { described, page, table } from './recipe-page.ts';
import { RECIPES, type Recipe, reduced } from './recipes.ts';
import { writeFullSize, writeRecipes } from './results-page.ts';
import { SHIFTS, shifted } from './shift.ts';
import { shortcuts } from './shortcuts.ts';

const OPTIONS = {
  data: { type: 'string' },
  folds: { type: 'string', default: '1' },
  of: { type: 'string', default: '4' },
  seeds: { type: 'string', default: '1' },
  judged: { type: 'string', default: '300' },
  threads: { type: 'string', default: '2' },
  minutes: { type: 'string', default: '10000' },
  only: { type: 'string', multiple: true },
  folder: { type: 'string', default: 'fedrad-ablation' },
  json: { type: 'boolean', default: false },
  docs: { type: 'boolean', default: false },
  images: { type: 'string', default: '1000000' },
  reduced: { type: 'boolean', default: false },
  tiny: { type: 'boolean', default: false },
} as const;

/** Shifts are defined on images of this size, as the Kaggle set is usually prepared. */
const SIZE = 224;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.data === undefined) fail('--data', 'missing', 'name a folder with NORMAL/ and PNEUMONIA/');
  const number = (name: 'folds' | 'of' | 'seeds' | 'judged' | 'images' | 'threads' | 'minutes'): number => {
    const value = Number(values[name]);
    return Number.isInteger(value) && value >= 1 ? value : fail(`--${name}`, `expected 1 or more, got ${values[name]}`);
  };
  const plan: Plan = {
    folds: number('of'),
    foldsRun: Math.min(number('folds'), number('of')),
    seeds: Array.from({ length: number('seeds') }, (_, i) => i + 1),
    judged: number('judged'),
    images: number('images'),
    threads: number('threads'),
    folder: values.folder,
  };
  const recipes = chosen(values.only).map((recipe) =>
    values.tiny ? { ...reduced(recipe), epochs: 1 } : values.reduced ? reduced(recipe) : recipe,
  );
  const ends = performance.now() + number('minutes') * 60_000;
  const collection = await decode(values.data!, values.tiny ? 64 : SIZE);
  const outcomes: Outcome[] = [];
  for await (const outcome of ablate(collection, recipes, plan)) {
    outcomes.push(outcome);
    if (values.json) console.log(JSON.stringify(outcome));
    else process.stderr.write(`${outcome.recipe}, fold ${outcome.fold}, seed ${outcome.seed}: done\n`);
    if (performance.now() > ends) break;
  }
  const rows = tabulate(outcomes);
  if (!values.json) console.log(table(rows));
  if (values.docs && values.only && !values.reduced) {
    writeFullSize(described({ ...plan, reduced: false }), table(rows));
  } else if (values.docs) {
    const held = heldOut(collection, plan, 0);
    const same = SHIFTS.find(({ name }) => name === 'same acquisition')!;
    const matched = { ...held, images: await shifted(same, held, 0) };
    const text = page(
      rows,
      { ...plan, reduced: values.reduced },
      { raw: shortcuts(held), matched: shortcuts(matched) },
    );
    writeFileSync(join(import.meta.dirname, '..', 'docs', 'recipe.md'), text);
    writeRecipes(described({ ...plan, reduced: values.reduced }), table(rows));
  }
}

function chosen(names: readonly string[] | undefined): readonly Recipe[] {
  if (names === undefined) return RECIPES;
  return names.map((name) => {
    const known = RECIPES.map((recipe) => recipe.name).join('; ');
    return (
      RECIPES.find((recipe) => recipe.name === name) ?? fail('--only', `no recipe "${name}"`, `there are: ${known}`)
    );
  });
}

async function decode(folder: string, size: number): Promise<Collection> {
  const files = await listLabelledFolder(folder);
  const images = new Uint8Array(files.length * size * size);
  for (const [i, { path }] of files.entries()) images.set(await decodeRadiograph(path, size), i * size * size);
  const labels = Uint8Array.from(files, ({ label }) => (label === 'PNEUMONIA' ? 1 : 0));
  return { images, labels, size, patients: files.map(({ patient }) => patient) };
}

try {
  await main();
} catch (error) {
  process.stderr.write(`ablation: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
