/** @file Moves what a step has finished to where the graph wants it; who has the place decides which datastore that is. */
import { join } from 'node:path';
import type { Step } from '../pipelines/index.ts';
import type { Datastore, StepOutput } from '../workspace/index.ts';

export interface FinishedStep {
  readonly run: string;
  readonly step: Step;
  /** Holds `<name>` for each output. */
  readonly folder: string;
  /** Other content may lie where the outputs go. */
  readonly redone: boolean;
}

/** Where one output is put. */
export interface OutputPlace {
  readonly datastore: Datastore;
  readonly path: string;
}

/** The datastore path of an output: `${{name}}` stands for the run, as in Azure ML. */
export const outputUri = (template: string, run: string): string => template.replaceAll('${{name}}', run);

/** Publishes the outputs; each is named by its datastore path, wherever `placeOf` has put it. */
export async function publishOutputs(
  { run, step, folder, redone }: FinishedStep,
  placeOf: (uri: string, name: string) => OutputPlace,
): Promise<Record<string, StepOutput>> {
  const outputs: Record<string, StepOutput> = {};
  for (const [name, template] of Object.entries(step.outputs)) {
    const uri = outputUri(template, run);
    const { datastore, path } = placeOf(uri, name);
    const { sha256, bytes } = await datastore.publish(join(folder, name), path, { replace: step.replace || redone });
    outputs[name] = { path: uri, sha256, bytes };
  }
  return outputs;
}
