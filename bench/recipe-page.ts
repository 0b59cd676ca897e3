/** @file docs/recipe.md: what the ablation found, as tables, and how to read them. */
import type { Plan, Row } from './ablation.ts';
import { SHIFTS } from './shift.ts';

const cell = (value: number): string => value.toFixed(3);

/** One line for each recipe. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ recipe, none, scanner, class: byClass, shifts, balanced, seconds, trainings }) => {
    const same = 'same acquisition';
    const figures = [none, scanner.mean, scanner.worst, shifts[same]!, byClass.mean, byClass.worst, balanced[same]!];
    return `| ${[recipe, ...figures.map(cell), seconds.toFixed(0), trainings].join(' | ')} |`;
  });
  return `| recipe | as they are | scanner shifts, mean | worst | same acquisition | class shifts, mean | worst | balanced accuracy, same acquisition | seconds | trainings |
|---|---|---|---|---|---|---|---|---|---|
${lines.join('\n')}`;
}

const allShifts = (rows: readonly Row[]): string => `| shift | ${rows.map(({ recipe }) => recipe).join(' | ')} |
|---|${rows.map(() => '---').join('|')}|
${SHIFTS.map(({ name }) => `| ${name} | ${rows.map(({ shifts }) => cell(shifts[name]!)).join(' | ')} |`).join('\n')}`;

type Shortcuts = Readonly<Record<string, number>>;

/** What was held out and trained on, in words. */
export const described = ({
  folds,
  foldsRun,
  seeds,
  judged,
  images,
  reduced,
}: Plan & { readonly reduced: boolean }): string =>
  `${foldsRun} of ${folds} patient-disjoint folds held out, ${seeds.length} seed${seeds.length === 1 ? '' : 's'}, up to ${judged}
held-out images of each class${reduced ? `; trained on at most ${images} images, and reduced: networks see 64x64 pixels and have half the channels and a quarter of the hidden units` : ''}`;

/** `raw` and `matched`: AUROC of each shortcut on held-out images as they are, and with the same acquisition. */
export const page = (
  rows: readonly Row[],
  plan: Plan & { readonly reduced: boolean },
  { raw, matched }: { raw: Shortcuts; matched: Shortcuts },
): string => `# Which recipe generalises

To use it: \`recipe: recommended\` under \`training_parameters\` of config.yaml ([networks.md](networks.md)).

Made by \`npm run ablation -- --data <chest_xray> --docs\` from the training folder of the Kaggle set \`chest-xray-pneumonia\`
(Kermany, Zhang, Goldbaum, CC BY 4.0) at 224x224: ${described(plan)}. One line, one thing more than the line before; *small images* is the example's
recipe at 112x112, "instead" replaces the line before; *network: small* has the mean over the image in place of the dense layer, and 1 MB to send in place of 7. All figures are AUROC but where it says otherwise. The official test set was not used.

## What tells the classes apart without a look at the lungs

Each figure alone, on the held-out images as they are, and once every image was given the acquisition of a randomly chosen
one (of either class, each as likely): 0.5 is chance.

| figure of the whole image | as they are | same acquisition |
|---|---|---|
${Object.keys(raw)
  .map((name) => `| ${name} | ${cell(raw[name]!)} | ${cell(matched[name]!)} |`)
  .join('\n')}

The originals with pneumonia are of a wider format (width to height 1.5, the normal ones 1.2; 30 of each), so squashing them to a
square leaves a mark in every edge. A network that reads this mark is nearly perfect on held-out patients of the same folder and
fails elsewhere. That is why a random split of this set says little.

## The recipes

Scanner shifts change all images alike: exposure, contrast, gamma, framing, rotation, blur, sharpening, resolution, JPEG, noise, border. Class
shifts make the classes alike in how they were taken, or exchange that. The one to look at is *same acquisition*: both classes
as one scanner might have shown them. Lines with augmentation need more epochs than the ten they get here: the last one has them. Seconds are of
training, on a machine that may have been shared with other work. Larger trainings and what was dropped: [bench/NOTES.md](../bench/NOTES.md).

${table(rows)}

## Each shift

${allShifts(rows)}

## What this cannot tell

The shifts are made from images of one collection: other patients, ages, positions and devices are not in it, nor are shortcuts
that bench/acquisition.ts does not measure (markers, tubes, the way a child is held). *Exchanged* asks for more than any real
hospital does. Disease changes edges and grey values too, so matching the acquisition also takes away a little of the disease: the
figures are for comparing recipes, not for what to expect elsewhere.
`;
