/**
 * @file Where a run is logged in MLflow: `--mlruns`, else MLFLOW_TRACKING_URI, else where it was logged before. It is the process that runs
 * the run that logs it, since a step's sandbox has no network.
 */
import { fail, messageOf } from '../base/index.ts';
import type { Graph } from '../pipelines/index.ts';
import {
  checkMlruns,
  logRun,
  parseTrackingUri,
  placeText,
  type RunToTrack,
  type RunTracking,
  type TrackingPlace,
  trackedPlace,
  trackRun,
} from '../tracking/index.ts';
import type { RunHistory } from '../workspace/index.ts';
import { readGraph, runFiles } from './run-folder.ts';

export interface TrackingChoice {
  /** A folder. */
  readonly mlruns?: string;
}

export const MLRUNS_OPTION = [
  '--mlruns <folder>',
  'log metrics and parameters to this mlruns folder of MLflow (default: where MLFLOW_TRACKING_URI says, if it is set)',
] as const;

/** Throws where the folder that is asked for cannot be one of MLflow. Gives its full path, or undefined where none is asked for. */
export async function checkedMlruns({ mlruns }: TrackingChoice): Promise<string | undefined> {
  if (mlruns === undefined) return undefined;
  const place = mlruns === '' || /^[a-z][a-z0-9+.-]+:/i.test(mlruns) ? undefined : parseTrackingUri(mlruns);
  if (place?.kind !== 'folder')
    return fail('--mlruns', `expected a folder, got "${mlruns}"`, 'for a server set MLFLOW_TRACKING_URI');
  await checkMlruns(place.path);
  return place.path;
}

async function placeOf(stateFile: string, { mlruns }: TrackingChoice): Promise<TrackingPlace | undefined> {
  const uri = mlruns ?? (process.env['MLFLOW_TRACKING_URI'] || (await trackedPlace(stateFile)));
  return uri === undefined ? undefined : parseTrackingUri(uri);
}

function runToTrack(home: string, history: RunHistory, runId: string, graph: Graph, place: TrackingPlace): RunToTrack {
  return {
    ...{ place, history, runId, environment: process.env, now: () => new Date() },
    stateFile: runFiles(home, runId).tracking,
    steps: new Map(
      graph.steps.map(({ id, component, compute, parameters }) => [id, { component, compute, parameters }]),
    ),
  };
}

/** Logs a run while this process runs it, where it is to be logged. Whatever goes wrong is a note, never an error. */
export async function beginTracking(
  home: string,
  history: RunHistory,
  runId: string,
  graph: Graph,
  options: TrackingChoice & { readonly quiet?: boolean },
): Promise<RunTracking | undefined> {
  const note = (text: string): void => console.error(`note: ${text}`);
  try {
    const place = await placeOf(runFiles(home, runId).tracking, options);
    if (!place) return undefined;
    if (!options.quiet) console.error(`logged to MLflow: ${placeText(place)}`);
    return trackRun(runToTrack(home, history, runId, graph, place), note);
  } catch (error) {
    note(`tracking: ${messageOf(error)}; the run is not affected`);
    return undefined;
  }
}

/** Logs what of a run is not logged yet; gives where. @throws FedradError where that is not possible */
export async function trackNow(
  home: string,
  history: RunHistory,
  runId: string,
  choice: TrackingChoice,
): Promise<string> {
  using lock = history.lock(runId);
  if (!lock)
    fail(`run ${runId}`, 'it is running, and logged by the process that runs it', 'try again when it has ended');
  const place = await placeOf(runFiles(home, runId).tracking, choice);
  if (!place)
    return fail(`run ${runId}`, 'nothing says where to log it', 'set MLFLOW_TRACKING_URI, or give --mlruns <folder>');
  const refused = ({ message }: Error): void => console.error(`note: left out: ${message}`);
  // Awaited: the lock is held as long.
  return await logRun(runToTrack(home, history, runId, await readGraph(home, runId), place), refused);
}
