/** @file Which model a command means: a file, the folder it lies in, or a run and whether its best or its last. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { fail } from '../base/index.ts';
import { MODEL_FILE } from '../components/index.ts';
import { foldRun, openRunHistory, type RunState } from '../workspace/index.ts';
import { homeOf } from './context.ts';
import { evidenceOutputs } from './run-azure.ts';
import { outputFolder } from './run-folder.ts';

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
  if (info) return { file: model };
  // The name of a run has neither.
  if (/[/\\.]/.test(model)) fail(model, 'no such file', 'give a model.safetensors, the folder it lies in, or a run');
  return modelOfRun(homeOf(command), model, which);
}

/** Of the runs that have a model, so many of the last are named in an error. */
const LISTED_RUNS = 5;

const hasModel = (state: RunState): boolean =>
  state.steps.get('evidence')?.attempts.some(({ status }) => status === 'completed') ?? false;

/** The best or last model of a run. */
export async function modelOfRun(home: string, runId: string, which: 'best' | 'last'): Promise<FoundModel> {
  using history = await openRunHistory(home);
  const known = history.list();
  if (!known.some(({ id }) => id === runId)) {
    const withModel = known.flatMap(({ id }) => (hasModel(foldRun(history.events(id))) ? [id] : []));
    const listed = withModel.slice(-LISTED_RUNS).toReversed().join(', ');
    fail(
      `--model ${runId}`,
      'no such run, file or folder',
      withModel.length === 0 ? 'no run has a model yet: fedrad submit pneumonia' : `runs with a model: ${listed}`,
    );
  }
  const state = foldRun(history.events(runId));
  const { [`${which}_model`]: output } = await evidenceOutputs(home, history, runId);
  if (!output)
    return fail(
      `run ${runId}`,
      `it has no ${which} model: ${state.pipeline} ${state.status}`,
      `fedrad run show ${runId}`,
    );
  const folder = await outputFolder(home, runId, state.workspace, `${which}_model`, output.path);
  return { file: join(folder, MODEL_FILE), run: { id: runId, graphSha256: state.graphHash } };
}
