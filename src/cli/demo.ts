/** @file `fedrad demo`: the whole path on synthetic images, with nothing to set up. */
import { copyFile, readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { cardFiles, cardPaths, MODEL_FILE } from '../components/index.ts';
import type { Graph } from '../pipelines/index.ts';
import {
  parseConfig,
  pneumoniaConfigSchema,
  pneumoniaGraph,
  uploadConfigSchema,
  uploadGraph,
} from '../pipelines/index.ts';
import { makePrivateFolder, openRunHistory, provisionWorkspace, type RunHistory } from '../workspace/index.ts';
import { printJson } from './context.ts';
import { createRun } from './create-run.ts';
import { executeRun } from './execute.ts';
import { modelOfRun } from './find-model.ts';
import { cardOf } from './model-card.ts';
import { integerOption } from './options.ts';
import { makeReport } from './report.ts';
import { runFiles } from './run-folder.ts';
import { writeWhole } from './write-whole.ts';

interface DemoOptions {
  readonly folder: string;
  readonly json?: boolean;
  readonly cores?: number;
}

const examples = join(import.meta.dirname, '..', '..', 'examples', 'demo');

export function addDemoCommand(root: Command): void {
  root
    .command('demo')
    .description(
      'the whole path in about a minute: three hospitals with synthetic radiographs train one model together',
    )
    .option('--folder <folder>', 'where to put everything', 'fedrad-demo')
    .option('--cores <n>', 'cores to use (default: all)', integerOption(1, 1024))
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExample:\n  fedrad demo\n  fedrad demo --folder /tmp/trial')
    .action(async (options: DemoOptions) => {
      process.exitCode = await demo(options);
    });
}

async function demo(options: DemoOptions): Promise<number> {
  const start = performance.now();
  const folder = resolve(options.folder);
  const home = join(folder, 'home');
  const say = (text: string): void => void (options.json || console.log(text));
  await makePrivateFolder(folder);
  await provisionWorkspace(home);
  say('1/3  Workspace aml-fldemo: an orchestrator and three hospitals. SYNTHETIC radiographs (phantoms), no patients.');
  using history = await openRunHistory(home);

  const upload = await readFile(join(examples, 'upload-data.yaml'), 'utf8');
  say('2/3  Each hospital gets its own phantoms, from its own scanner ...');
  const uploaded = await run(
    home,
    history,
    uploadGraph(parseConfig(upload, uploadConfigSchema, 'upload-data.yaml'), 'PNEUMONIA', folder),
    upload,
    options,
  );
  if (uploaded.code !== 0) return uploaded.code;

  const pneumonia = await readFile(join(examples, 'pneumonia.yaml'), 'utf8');
  say('3/3  Training: federated, each hospital alone, and all data pooled ...');
  const trained = await run(
    home,
    history,
    pneumoniaGraph(parseConfig(pneumonia, pneumoniaConfigSchema, 'pneumonia.yaml')),
    pneumonia,
    options,
  );
  if (trained.code !== 0) return trained.code;

  const { summary, evidence } = await makeReport(home, history, trained.id);
  const report = join(folder, 'report.html');
  const model = join(folder, MODEL_FILE);
  await copyFile(runFiles(home, trained.id).report, report);
  const best = await modelOfRun(home, trained.id, 'best');
  await copyFile(best.file, model);
  await writeWhole(cardFiles(model, (await cardOf(best))!));
  const { text: card } = cardPaths(model);
  const seconds = (performance.now() - start) / 1000;
  if (options.json) {
    printJson({ run: trained.id, seconds, report, model, card, evidence });
    return 0;
  }
  const here = (path: string): string => relative(process.cwd(), path) || path;
  console.log(`\nOn the test images of all three hospitals (synthetic):\n\n${summary}\n`);
  console.log(
    `Report  ${here(report)}   (open it in a browser)\nModel   ${here(model)}   (its card: ${here(card)})\nTook    ${seconds.toFixed(0)} s\n`,
  );
  console.log('What to try next:');
  console.log(`  npx fedrad --home ${here(home)} run show ${trained.id}`);
  console.log(`  npx fedrad model evaluate --model ${here(model)} --data <your folder with NORMAL/ and PNEUMONIA/>`);
  console.log('  npx fedrad provision         your own workspace, then the steps of the README');
  return 0;
}

async function run(home: string, history: RunHistory, graph: Graph, config: string, options: DemoOptions) {
  const id = await createRun(home, history, graph, config, 'aml-fldemo');
  const outcome = await executeRun(home, history, id, {
    ...(options.cores === undefined ? {} : { cores: options.cores }),
    ...(options.json ? { quiet: true } : {}),
  });
  if (outcome.status === 'FAILED' || outcome.status === 'CANCELED')
    console.error(`fedrad demo: run ${id}: ${outcome.reason}`);
  return { id, code: outcome.status === 'COMPLETED' ? 0 : 1 };
}
