/**
 * @file Runs the pneumonia experiments on real radiographs and writes docs/results.md from what they gave:
 * `npm run results -- --data <folder with NORMAL/ and PNEUMONIA/, or with chest_xray/train> [--folder fedrad-results] [--only <experiment>]`.
 * A run that is finished is not run again; one that was interrupted is resumed.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Evidence } from '../src/components/index.ts';
import type { Figures } from '../src/reports/index.ts';
import { writeExperiments } from './results-page.ts';

interface Experiment {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** Added to the example configs. */
  readonly data: string;
  readonly training: string;
  /** Keys of the example's training parameters that are left out. */
  readonly without?: readonly string[];
}

const EXPERIMENTS: readonly Experiment[] = [
  {
    name: 'patient-disjoint',
    title: 'Patient-disjoint hospitals',
    about:
      'The default partition: no patient in two hospitals or in two splits. For comparison each hospital alone and all data pooled are trained for as many epochs.',
    data: '',
    training: '  baselines: [alone, pooled]\n',
  },
  {
    name: 'recommended',
    title: 'The recommended recipe',
    about:
      'The same hospitals and splits with `recipe: recommended`, which is for images from elsewhere ([recipe.md](recipe.md)): on images of the same folder it has nothing to gain.',
    data: '',
    training: '  recipe: recommended\n',
    without: ['num_of_iterations', 'epochs', 'lr'],
  },
  {
    name: 'round-robin',
    title: "The Azure ML example's own split",
    about:
      'By file, as the example deals them: images of one patient lie in several hospitals and in train and test, and every silo counts the same. For comparison with figures published for that example.',
    data: '  partition:\n    method: round-robin\n',
    training: '  aggregation: mean\n',
  },
];

interface ShownRun {
  readonly id: string;
  readonly pipeline: string;
  readonly status: string;
  readonly graphHash: string;
  readonly submittedAt: string;
  readonly finishedAt?: string;
  readonly started?: { readonly sandbox: string; readonly cores: number };
  readonly steps: Record<
    string,
    {
      readonly attempts: readonly {
        readonly status: string;
        readonly seconds?: number;
        readonly cpuSeconds?: number;
      }[];
    }
  >;
}

const root = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    only: { type: 'string' },
    folder: { type: 'string', default: 'fedrad-results' },
  },
});
if (values.data === undefined) {
  console.error(
    'npm run results: --data is missing (give the folder of the radiographs: npm run results -- --data <folder>)',
  );
  process.exit(1);
}
const folder = resolve(values.folder);

const fedrad = (home: string, args: readonly string[], quiet = false): string => {
  const { status, stdout } = spawnSync(process.execPath, [join(root, 'bin', 'fedrad.js'), '--home', home, ...args], {
    stdio: ['ignore', 'pipe', quiet ? 'ignore' : 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) process.exit(status ?? 1);
  return stdout;
};

/** Runs an experiment, or what is left of it; gives its run and evidence. */
function execute({ name, data, training, without = [] }: Experiment): { run: ShownRun; evidence: Evidence } {
  const home = join(folder, name);
  const example = (pipeline: string): string => readFileSync(join(root, 'examples', pipeline, 'config.yaml'), 'utf8');
  mkdirSync(folder, { recursive: true });
  const [upload, pneumonia] = [join(folder, `${name}.upload.yaml`), join(folder, `${name}.yaml`)];
  writeFileSync(
    upload,
    `${example('upload-data')}\ndata:\n  source: ${JSON.stringify(`folder:${resolve(values.data!)}`)}\n${data}`,
  );
  const kept = example('pneumonia')
    .split('\n')
    .filter((line) => !without.some((key) => line.startsWith(`  ${key}:`)));
  writeFileSync(pneumonia, `${kept.join('\n')}${training}`);
  fedrad(home, ['provision']);
  const runs = JSON.parse(fedrad(home, ['run', 'list', '--json'])) as ShownRun[];
  if (!runs.some((run) => run.pipeline === 'upload-data' && run.status === 'COMPLETED')) {
    fedrad(home, ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', upload, '--wait']);
  }
  const earlier = runs.findLast((run) => run.pipeline === 'pneumonia');
  if (earlier === undefined) fedrad(home, ['submit', 'pneumonia', '--config', pneumonia, '--wait']);
  else if (earlier.status !== 'COMPLETED') fedrad(home, ['run', 'resume', earlier.id]);
  const { id, evidence } = JSON.parse(fedrad(home, ['run', 'report', '--json'])) as { id: string; evidence: Evidence };
  return { run: JSON.parse(fedrad(home, ['run', 'show', id, '--json'])) as ShownRun, evidence };
}

const figure = (figures: Figures, name: 'auroc' | 'accuracy' | 'sensitivity' | 'specificity'): string => {
  const [value, interval] = [figures[name], figures[`${name}_ci95`]];
  if (value === null) return 'not measured';
  return interval === null
    ? value.toFixed(3)
    : `${value.toFixed(3)} [${interval.map((bound) => bound.toFixed(3)).join(', ')}]`;
};

const row = (label: string, figures: Figures): string =>
  `| ${label} | ${figure(figures, 'auroc')} | ${figure(figures, 'sensitivity')} | ${figure(figures, 'specificity')} | ${figure(figures, 'accuracy')} | ${figures.logLoss?.toFixed(3) ?? '-'} | ${figures.n} |`;

/** Wall and processor seconds of the steps whose id matches. */
function cost({ steps }: ShownRun, pattern: RegExp): string {
  const finished = Object.entries(steps).flatMap(([id, { attempts }]) =>
    pattern.test(id) ? (attempts.at(-1) ?? []) : [],
  );
  const sum = (field: 'seconds' | 'cpuSeconds'): number =>
    finished.reduce((total, attempt) => total + (attempt[field] ?? 0), 0);
  return `${finished.length} | ${sum('seconds').toFixed(0)} | ${sum('cpuSeconds').toFixed(0)}`;
}

const KINDS: readonly (readonly [string, RegExp])[] = [
  ['preparation', /_preparation$/],
  ['federated training', /^iteration_.*_training$/],
  ['aggregation', /_aggregation$/],
  ['evaluation in the hospitals', /_evaluation$/],
  ['training of each hospital alone', /_alone_training$/],
  ['training on all data pooled', /^pooled_training$/],
];

function section(experiment: Experiment): string {
  const { run, evidence } = execute(experiment);
  const wall = (Date.parse(run.finishedAt!) - Date.parse(run.submittedAt)) / 1000;
  const { sha256, silos } = evidence.iterations.find(({ model }) => model === evidence.best)!;
  return `## ${experiment.title}

${experiment.about}

| model, on the test images of all hospitals | AUROC [95 %] | sensitivity [95 %] | specificity [95 %] | accuracy [95 %] | loss | images |
|---|---|---|---|---|---|---|
${evidence.iterations.map(({ model, test }) => row(`federated, ${model.replace('_', ' ')}${model === evidence.best ? ' (best by validation)' : ''}`, test)).join('\n')}
${evidence.comparisons.map(({ model, test }) => row(model === 'pooled' ? 'all data pooled' : model.replace('_', ' '), test)).join('\n')}

The best federated model on each hospital's own test images:

| hospital | AUROC [95 %] | sensitivity [95 %] | specificity [95 %] | accuracy [95 %] | loss | images |
|---|---|---|---|---|---|---|
${silos.map(({ silo, test }) => row(silo, test)).join('\n')}

| hospital | given | used | left out | train | val | test |
|---|---|---|---|---|---|---|
${silos
  .map(({ silo, data: { intake, splits } }) => {
    const left = intake.setAside.map(({ reason, images }) => `${images} ${reason}`).join(', ') || 'none';
    return `| ${silo} | ${intake.offered} | ${intake.used} | ${left} | ${splits.map(({ normal, pneumonia }) => `${normal} + ${pneumonia}`).join(' | ')} |`;
  })
  .join('\n')}

Images are normal + pneumonia. The whole run took ${wall.toFixed(0)} s of wall time on ${run.started?.cores} cores (${cpus()[0]?.model.trim()}), steps side by side:

| steps | number | wall seconds, summed | CPU seconds |
|---|---|---|---|
${KINDS.map(([kind, pattern]) => `| ${kind} | ${cost(run, pattern)} |`)
  .filter((line) => !line.includes('| 0 | 0 |'))
  .join('\n')}

Model SHA-256 \`${sha256}\`, graph \`${run.graphHash}\`, sandbox ${run.started?.sandbox}.
`;
}

const text = `# Results on real radiographs

Made by \`npm run results -- --data <chest_xray>\` from the training folder of the Kaggle set \`chest-xray-pneumonia\` (Kermany,
Zhang, Goldbaum, CC BY 4.0), here at 224x224 pixels, with the training parameters of the Azure ML example where nothing else is said: 2 iterations of 5
epochs, SGD 0.01, momentum 0.9, batch 32, three silos. Intervals are 95 %, bootstrapped by patient. One seed.

These figures are on images from the same folder as the training images. They say little about other hospitals: how
the models do on images from elsewhere was not measured here.

${EXPERIMENTS.filter(({ name }) => values.only === undefined || values.only === name)
  .map(section)
  .join('\n')}`;
writeExperiments(text);
console.log(text);
