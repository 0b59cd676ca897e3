/** @file What the tests of the orchestrator's steps share: models and evaluations as hospitals hand them over, and a step's context. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { initialParameters, pneumoniaNetwork } from '../engine/index.ts';
import { summariseScores } from '../reports/index.ts';
import type { StepContext } from './component.ts';
import type { SiloEvaluation } from './evidence.ts';
import { type ModelFile, writeModel } from './model-file.ts';

const network = pneumoniaNetwork({ imageSize: 16, channels: [8], hidden: 32 });

export const smallModel = (seed: number): ModelFile => ({ network, parameters: initialParameters(network, seed) });

/** An evaluation on ten images, of which the model scores as many in the wrong order as this says. */
export function evaluationOf(silo: string, model: string, wrong: number): SiloEvaluation {
  const labels = Uint8Array.from({ length: 10 }, (_, index) => index % 2);
  const probabilities = Float64Array.from(labels, (label, index) => ((label === 1) === index >= wrong ? 0.9 : 0.1));
  const figures = summariseScores({ probabilities, labels, seed: 1, replicates: 10 });
  const hash = 'a'.repeat(64);
  return {
    silo,
    model,
    data: {
      synthetic: true,
      splits: [],
      intake: { offered: 10, used: 10, setAside: [] },
      share: { collectionSha256: hash, partition: {}, seed: 1, siloIndex: Number(silo.slice(-1)), siloCount: 2 },
      manifestSha256: hash,
    },
    val: figures,
    test: figures,
  };
}

/** A temporary folder, with a function that makes folders in it. */
export async function openFolder(context: TestContext) {
  const root = await mkdtemp(join(tmpdir(), 'fedrad-step-'));
  context.after(() => rm(root, { recursive: true }));
  const make = async (name: string): Promise<string> => {
    const path = join(root, name);
    await mkdir(path, { recursive: true });
    return path;
  };
  return {
    root,
    make,
    /** A folder with a model. */
    model: async (name: string, seed: number): Promise<string> => {
      const path = await make(name);
      await writeModel(path, smallModel(seed));
      return path;
    },
    /** A folder with one evaluation. */
    evaluation: async (evaluation: SiloEvaluation): Promise<string> => {
      const path = await make(`${evaluation.silo}-${evaluation.model}`);
      await writeFile(join(path, `${evaluation.model}.json`), JSON.stringify(evaluation));
      return path;
    },
  };
}

/** The context of a step that notes what it says. */
export function stepContext<Parameters>(
  parameters: Parameters,
  inputs: Readonly<Record<string, string>>,
  outputs: Readonly<Record<string, string>>,
): StepContext<Parameters> & { readonly notes: string[] } {
  const notes: string[] = [];
  return {
    parameters,
    inputs: new Map(Object.entries(inputs)),
    outputs: new Map(Object.entries(outputs)),
    secrets: {},
    scratch: '',
    cache: undefined,
    threads: 1,
    report: { progress: () => {}, metric: () => {}, note: (text) => void notes.push(text) },
    notes,
  };
}
