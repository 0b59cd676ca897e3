/** @file `fedrad model export`: a model as one file for other programs: ONNX, or safetensors as PyTorch loads it. */
import { realpath, rm } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { encodeSafetensors, fail } from '../base/index.ts';
import {
  cardFiles,
  cardPaths,
  LABELS,
  type ModelFile,
  modelMetadata,
  modelSha256,
  readModel,
} from '../components/index.ts';
import { encodeOnnx, ONNX_NAMES } from '../engine/index.ts';
import { formatBytes, hashContent } from '../workspace/index.ts';
import { printJson } from './context.ts';
import { type FoundModel, findModel, type ModelChoice, modelOptions } from './find-model.ts';
import { cardOf } from './model-card.ts';
import { packageVersion } from './package-version.ts';
import { writeWhole } from './write-whole.ts';

const FORMATS = ['onnx', 'safetensors'] as const;
type Format = (typeof FORMATS)[number];

interface ExportOptions extends ModelChoice {
  readonly format: Format;
  readonly output: string;
  readonly json?: boolean;
}

export function addExportCommand(group: Command): void {
  modelOptions(group.command('export'))
    .description('write a model as one file for other programs: ONNX, or safetensors (a PyTorch state_dict)')
    .addOption(new Option('--format <format>', 'the kind of file').choices(FORMATS).makeOptionMandatory())
    .requiredOption('--output <file>', 'where to write it; a file there is replaced')
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
ONNX (opset 17): input "pixels", float32 [N, 1, H, W], grey values 0 to 255 of the image resized to H x W; the normalisation
is inside. Outputs "logits" and "probabilities", float32 [N, 2]: NORMAL, PNEUMONIA. The file's metadata says it again.
Beside the file goes the model card: pneumonia.onnx.card.md to read, pneumonia.onnx.card.json for programs.

Example:
  fedrad model export --model calm_lung_7f3k2q --format onnx --output pneumonia.onnx
  fedrad model export --model calm_lung_7f3k2q --format safetensors --output pneumonia.safetensors`,
    )
    .action(async (options: ExportOptions, command: Command) => {
      const { format, output } = options;
      const found = await findModel(options, command);
      const model = await readModel(found.file);
      const there = await realpath(output).catch(() => undefined);
      if (there !== undefined && there === (await realpath(found.file)))
        fail(output, 'this is the model itself', 'give another name');
      const origin = await modelSha256(found.file);
      const facts = { ...provenance(found), model_sha256: origin };
      const card = await cardOf(found);
      const pieces = format === 'onnx' ? onnx(model, facts) : safetensors(model, facts);
      await writeWhole({ [output]: pieces, ...(card && cardFiles(output, card)) });
      const paths = cardPaths(output);
      // What lies there is of a model that was here before.
      if (!card) for (const stale of Object.values(paths)) await rm(stale, { force: true });
      const cardFile = card && paths.text;
      const { sha256, bytes } = await hashContent(await realpath(output));
      if (options.json)
        return printJson({ file: output, format, bytes, sha256, modelSha256: origin, card: cardFile ?? null });
      console.log(`${output}: ${DESCRIPTIONS[format]}, ${formatBytes(bytes)}, SHA-256 ${sha256}`);
      console.log(
        cardFile ? `${cardFile}: what it is, and what was measured` : 'No model card lies beside this model.',
      );
    });
}

const DESCRIPTIONS = {
  onnx: 'ONNX, grey values 0 to 255 in, probabilities of NORMAL and PNEUMONIA out',
  safetensors: "safetensors, PyTorch's names and layouts",
} as const;

type Facts = Readonly<Record<string, string>>;

const provenance = ({ run }: FoundModel): Facts => (run ? { run: run.id, graph_sha256: run.graphSha256 } : {});

function onnx({ network, parameters, threshold }: ModelFile, facts: Facts): Iterable<Uint8Array> {
  const { imageSize: size, normalisation } = network;
  return encodeOnnx(network, parameters, {
    producerVersion: packageVersion,
    text: 'Pneumonia on chest radiographs, trained by fedrad. For research use only: not a medical device.',
    metadata: {
      ...facts,
      labels: LABELS.join(),
      // A probability of PNEUMONIA from here on counts as one, where the model was trained with a rule for it.
      ...(threshold === undefined ? {} : { threshold: String(threshold) }),
      image_size: String(size),
      input: `${ONNX_NAMES.input}: float32 [N, 1, ${size}, ${size}], grey values 0 to 255, the whole image resized bilinearly with antialiasing, aspect not kept`,
      normalisation: JSON.stringify({ ...normalisation, of: 'pixels / 255', inside_the_graph: true }),
      outputs: `${ONNX_NAMES.logits} and ${ONNX_NAMES.probabilities}: float32 [N, 2] in the order of labels`,
      network: JSON.stringify(network),
    },
  });
}

const safetensors = (model: ModelFile, facts: Facts): Iterable<Uint8Array> => [
  encodeSafetensors({ parameters: model.parameters, metadata: { ...modelMetadata(model), ...facts } }),
];
