/**
 * @file The card of a model, beside its file: for `model.safetensors` `model.safetensors.card.md` to read and
 * `model.safetensors.card.json` for programs. The whole name of the file, so that exports of two models in two formats keep apart.
 */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { elementCount, fail, isBuffer } from '../base/index.ts';
import { flatten, type Network, parameterShapes } from '../engine/index.ts';
import { figuresSchema, type ModelCard, modelCardSchema, renderModelCard } from '../reports/index.ts';
import type { Evidence } from './evidence.ts';
import { LABELS, modelSha256 } from './model-file.ts';
import { readJson } from './read-json.ts';

export interface CardFacts {
  readonly evidence: Evidence;
  readonly chosen: 'best' | 'last';
  readonly network: Network;
  /** The config's training_parameters. */
  readonly config: ModelCard['training'];
}

/** The card of the best or last model of a run, from its evidence. */
export function modelCard({ evidence, chosen, network, config }: CardFacts): ModelCard {
  const index = evidence.iterations.findIndex(({ model }) => model === evidence[chosen]);
  const { sha256, silos, test } = evidence.iterations[index]!;
  return {
    version: 1,
    model: {
      sha256:
        evidence.files?.[chosen] ?? sha256 ?? fail(`evidence of ${evidence[chosen]}`, 'it has no SHA-256 of the model'),
      chosen,
      iteration: index + 1,
      bestBy: evidence.bestBy,
      thresholdBy: evidence.thresholdBy ?? 'fixed beforehand',
      stoppedEarly: evidence.stoppedAfter !== undefined,
    },
    synthetic: silos.some(({ data }) => data.synthetic),
    network: networkFacts(network),
    training: config,
    hospitals: silos.map(({ silo, data, test: own }) => ({
      name: silo,
      splits: data.splits,
      offered: data.intake.offered,
      used: data.intake.used,
      patientDisjoint: data.share.partition['method'] !== 'round-robin',
      manifestSha256: data.manifestSha256,
      // Without the histogram of scores.
      test: figuresSchema.parse(own),
    })),
    test: figuresSchema.parse(test),
  };
}

function networkFacts(network: Network): ModelCard['network'] {
  const { imageSize, normalisation, layers } = network;
  const counts = new Map<string, number>();
  for (const { layer } of flatten(layers, imageSize).nodes) counts.set(layer.op, (counts.get(layer.op) ?? 0) + 1);
  return {
    imageSize,
    normalisation,
    labels: [...LABELS],
    parameters: [...parameterShapes(network)]
      .filter(([name]) => !isBuffer(name))
      .reduce((sum, [, shape]) => sum + elementCount(shape), 0),
    layers: [...counts].map(([op, count]) => ({ op, count })),
  };
}

/** Where the card of a model's file lies. */
export const cardPaths = (modelFile: string): { readonly text: string; readonly json: string } => ({
  text: `${modelFile}.card.md`,
  json: `${modelFile}.card.json`,
});

/** The texts of the files of a card beside a model's file, by their paths. */
export function cardFiles(modelFile: string, card: ModelCard): Readonly<Record<string, string>> {
  const { text, json } = cardPaths(modelFile);
  return { [json]: `${JSON.stringify(card, null, 2)}\n`, [text]: renderModelCard(card) };
}

/**
 * The card beside a model's file (safetensors), or undefined where there is none. Throws FedradError where it is damaged or is the
 * card of another model.
 */
export async function readModelCard(modelFile: string): Promise<ModelCard | undefined> {
  const { json } = cardPaths(modelFile);
  if (!existsSync(json)) return undefined;
  const card = await readJson(json, modelCardSchema, 'remove it, or export again');
  if (card.model.sha256 !== (await modelSha256(modelFile)))
    fail(json, `it is the card of another model than ${basename(modelFile)}`, 'remove it, or export again');
  return card;
}
