/** @file `fedrad model`: evaluate a model on a folder of radiographs, or score single images. */
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { fail, messageOf } from '../base/index.ts';
import { type ModelFile, readModel } from '../components/index.ts';
import { type Engine, openEngine } from '../engine/index.ts';
import { decodeRadiograph, listLabelledFolder } from '../radiographs/index.ts';
import { DEFAULT_THRESHOLD, evaluateScores } from '../reports/index.ts';
import { findDatastore, foldRun, openRunHistory, openWorkspace, parseDatastoreUri } from '../workspace/index.ts';
import { homeOf, printJson, table } from './context.ts';

interface ModelOptions {
  readonly model: string;
  readonly which: 'best' | 'last';
  readonly json?: boolean;
  /** Default: the model's own, else 0.5. */
  readonly threshold?: number;
}

const BATCH_SIZE = 32;
const BOOTSTRAP_SEED = 31415;

export function addModelCommands(root: Command): void {
  const group = root.command('model').description('use a trained model');
  const modelCommand = (usage: string, description: string, example: string): Command =>
    group
      .command(usage)
      .description(description)
      .requiredOption('--model <model>', 'a model.safetensors, the folder it lies in, or a run')
      .addOption(
        new Option('--which <model>', 'of a run: the best by validation, or the last')
          .choices(['best', 'last'])
          .default('best'),
      )
      .option(
        '--threshold <p>',
        "a score from here on counts as pneumonia (default: the model's own, else 0.5)",
        thresholdOption,
      )
      .option('--json', 'print as JSON')
      .addHelpText('after', `\nExample:\n  ${example}`);

  modelCommand(
    'evaluate',
    'AUROC, sensitivity and specificity with 95 % intervals on a folder with NORMAL/ and PNEUMONIA/',
    'fedrad model evaluate --model calm_lung_7f3k2q --data chest_xray/test --json',
  )
    .requiredOption('--data <folder>', 'a folder with NORMAL/ and PNEUMONIA/ of JPEG or PNG files')
    .action(async (options: ModelOptions & { data: string }, command: Command) => {
      const images = await listLabelledFolder(options.data);
      const patients = numbered(images.map(({ patient }) => patient));
      const { scored, threshold } = await score(
        options,
        command,
        images.map(({ path }) => path),
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
        `${figures.n} of ${images.length} images used (${unreadable} unreadable), ${figures.patients} patients, ${figures.positives} with pneumonia; threshold ${Number(threshold.toPrecision(4))}`,
      );
      console.log(
        table(
          ['FIGURE', 'VALUE', '95 % INTERVAL'],
          [row('auroc'), row('accuracy'), row('sensitivity'), row('specificity')],
        ),
      );
    });

  modelCommand(
    'predict <images...>',
    'probability of pneumonia for single images',
    'fedrad model predict --model calm_lung_7f3k2q image1.jpeg image2.png',
  ).action(async (images: string[], options: ModelOptions, command: Command) => {
    const { scored } = await score(options, command, images);
    if (options.json) printJson(scored);
    else
      console.log(
        table(
          ['IMAGE', 'P(PNEUMONIA)', 'LABEL'],
          scored.map(({ image, probability, label, error }) => [
            image,
            probability?.toFixed(4) ?? '-',
            label ?? `unreadable: ${error}`,
          ]),
        ),
      );
    if (scored.some(({ error }) => error !== undefined)) process.exitCode = 1;
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

interface Scored {
  readonly image: string;
  readonly probability?: number;
  readonly label?: 'NORMAL' | 'PNEUMONIA';
  readonly error?: string;
}

/** Scores images in batches; one that cannot be read gets an error in its place. */
async function score(
  options: ModelOptions,
  command: Command,
  paths: readonly string[],
): Promise<{ scored: Scored[]; threshold: number }> {
  const { network, parameters, ...model } = await openModel(options, command);
  const threshold = options.threshold ?? model.threshold ?? DEFAULT_THRESHOLD;
  const engine: Engine = await openEngine(network, {
    threads: Math.min(availableParallelism(), 8),
    batchSize: BATCH_SIZE,
  });
  const { imageSize } = network;
  try {
    engine.load(parameters);
    const scored: Scored[] = [];
    for (let start = 0; start < paths.length; start += BATCH_SIZE) {
      const batch = await Promise.all(
        paths
          .slice(start, start + BATCH_SIZE)
          .map(async (image) => ({ image, ...(await tryDecode(image, imageSize)) })),
      );
      const readable = batch.flatMap(({ pixels }) => pixels ?? []);
      const probabilities =
        readable.length === 0 ? [] : [...engine.probabilities(new Uint8Array(Buffer.concat(readable)))];
      for (const { image, pixels, error } of batch) {
        const probability = pixels ? probabilities.shift()! : undefined;
        scored.push(
          probability === undefined
            ? { image, error: error ?? 'unreadable' }
            : { image, probability, label: probability >= threshold ? 'PNEUMONIA' : 'NORMAL' },
        );
      }
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${scored.length}/${paths.length} images`);
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    return { scored, threshold };
  } finally {
    await engine.close();
  }
}

async function tryDecode(image: string, imageSize: number): Promise<{ pixels?: Uint8Array; error?: string }> {
  try {
    return { pixels: await decodeRadiograph(image, imageSize) };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

async function openModel({ model, which }: ModelOptions, command: Command): Promise<ModelFile> {
  const exists = await stat(model).then(
    () => true,
    () => false,
  );
  return readModel(exists || /[/\\]/.test(model) ? model : await modelOfRun(homeOf(command), model, which));
}

/** The folder of the best or last model of a run. */
export async function modelOfRun(home: string, runId: string, which: 'best' | 'last'): Promise<string> {
  using history = await openRunHistory(home);
  const state = foldRun(history.events(runId));
  const output = state.steps.get('evidence')?.outputs[`${which}_model`];
  if (!output)
    return fail(
      `run ${runId}`,
      `it has no ${which} model: ${state.pipeline} ${state.status}`,
      `fedrad run show ${runId}`,
    );
  const { datastore, path } = parseDatastoreUri(output.path);
  const workspace = await openWorkspace(home, { workspaceName: state.workspace });
  return join(findDatastore(workspace, datastore, output.path).localPath(path));
}

function thresholdOption(text: string): number {
  const value = Number(text);
  return text.trim() !== '' && value >= 0 && value <= 1
    ? value
    : fail('--threshold', `expected a number from 0 to 1, got "${text}"`, 'for example 0.5');
}
