/** @file Which model a command means: a file, the folder it lies in, or a run and whether its best or its last. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { fail } from '../base/index.ts';
import { MODEL_FILE } from '../components/index.ts';
import { findDatastore, foldRun, openRunHistory, openWorkspace, parseDatastoreUri } from '../workspace/index.ts';
import { homeOf } from './context.ts';

export interface ModelChoice {
  readonly model: string;
  readonly which: 'best' | 'last';
}

export const modelOptions = (command: Command): Command =>
  command
    .requiredOption('--model <model>', 'a model.safetensors, the folder it lies in, or a run')
    .addOption(
      new Option('--which <model>', 'of a run: the best by validation, or the last')
        .choices(['best', 'last'])
        .default('best'),
    );

export interface FoundModel {
  /** The safetensors file. */
  readonly file: string;
  /** Where it was named by its run. */
  readonly run?: { readonly id: string; readonly graphSha256: string };
}

/** Finds the model that the options name. Throws FedradError where a run has none. */
export async function findModel({ model, which }: ModelChoice, command: Command): Promise<FoundModel> {
  const info = await stat(model).catch(() => undefined);
  if (info?.isDirectory()) return { file: join(model, MODEL_FILE) };
  if (info || /[/\\]/.test(model)) return { file: model };
  return modelOfRun(homeOf(command), model, which);
}

/** The best or last model of a run. */
export async function modelOfRun(home: string, runId: string, which: 'best' | 'last'): Promise<FoundModel> {
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
  const folder = findDatastore(workspace, datastore, output.path).localPath(path);
  return { file: join(folder, MODEL_FILE), run: { id: runId, graphSha256: state.graphHash } };
}
