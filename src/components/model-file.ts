/**
 * @file A model as a file: `model.safetensors` with the parameters and, in its metadata, all that is needed to use them: the
 * network, its normalisation, the labels and the operating threshold. Nothing in it depends on when or where it was made, so equal models are equal files.
 */
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  checkParameters,
  decodeSafetensors,
  fail,
  type ParameterSet,
  safetensorsParts,
  sha256,
} from '../base/index.ts';
import { type Network, networkSchema, parameterShapes } from '../engine/index.ts';
import { parseJson, schemaProblem } from './read-json.ts';

export const MODEL_FILE = 'model.safetensors';

/** Of class 0 and class 1. */
export const LABELS = ['NORMAL', 'PNEUMONIA'] as const;

export interface ModelFile {
  readonly network: Network;
  readonly parameters: ParameterSet;
  /** P(PNEUMONIA) from which on an image is called pneumonia; absent where the model names none. */
  readonly threshold?: number | undefined;
}

const metadataSchema = z.object({
  fedrad: z.literal('1'),
  network: z.string(),
  threshold: z.string().transform(Number).pipe(z.number().min(0).max(1)).optional(),
});

/** What the metadata of a model's file must hold. */
export const modelMetadata = ({ network, threshold }: Omit<ModelFile, 'parameters'>): Record<string, string> => ({
  ...{ format: 'pt', fedrad: '1', network: JSON.stringify(network), labels: LABELS.join() },
  ...(threshold === undefined ? {} : { threshold: String(threshold) }),
});

/** Writes a model into a folder. */
export async function writeModel(folder: string, model: ModelFile): Promise<void> {
  const { parameters } = model;
  await writeFile(join(folder, MODEL_FILE), safetensorsParts({ parameters, metadata: modelMetadata(model) }));
}

/** Copies the model of one folder into another, byte for byte. */
export const copyModel = (from: string, to: string): Promise<void> =>
  copyFile(join(from, MODEL_FILE), join(to, MODEL_FILE));

const SHA256 = /^[0-9a-f]{64}$/;

/** The SHA-256 by which the evidence and the card of a run name a model: of its file, or of the one that this was exported from. */
export async function modelSha256(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) =>
    fail(file, `it cannot be read: ${cause.code}`, undefined, cause),
  );
  const { model_sha256: origin } = decodeSafetensors(bytes, file).metadata;
  return origin !== undefined && SHA256.test(origin) ? origin : sha256(bytes);
}

/** Reads a model from its file or the folder it lies in, and checks it against its own network; `where` names it in errors. */
export async function readModel(path: string, where?: string): Promise<ModelFile> {
  const info = await stat(path).catch(() => undefined);
  const file = info?.isDirectory() ? join(path, MODEL_FILE) : path;
  const bytes = await readFile(file).catch((cause: unknown) =>
    fail(path, 'no model here', `give a folder with ${MODEL_FILE} or the id of a run (fedrad run list)`, cause),
  );
  const place = where ?? file;
  const { parameters, metadata } = decodeSafetensors(bytes, place);
  const known = metadataSchema.safeParse(metadata);
  if (!known.success)
    return fail(place, 'its metadata does not name a network of fedrad', 'only models written by fedrad are read');
  const network = networkSchema.safeParse(parseJson(known.data.network));
  if (!network.success)
    return fail(place, `its network is not valid: ${schemaProblem(network.error)}`, 'the file is damaged');
  checkParameters(parameters, parameterShapes(network.data), place);
  return { network: network.data, parameters, threshold: known.data.threshold };
}
