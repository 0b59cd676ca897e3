/** @file What a run keeps beside its events: the graph, the config it came from, its logs and its report. */
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import { type Graph, graphSchema } from '../pipelines/index.ts';
import {
  findDatastore,
  openWorkspace,
  parseDatastoreUri,
  type RunHistory,
  type RunSummary,
} from '../workspace/index.ts';

export const runFolder = (home: string, runId: string): string => join(home, 'runs', runId);

export const runFiles = (home: string, runId: string) => {
  const folder = runFolder(home, runId);
  return {
    folder,
    graph: join(folder, 'graph.json'),
    config: join(folder, 'config.yaml'),
    logs: join(folder, 'logs'),
    work: join(folder, 'work'),
    runnerLog: join(folder, 'runner.log'),
    report: join(folder, 'report.html'),
    /** How far the run is logged to MLflow; only of such a run. */
    tracking: join(folder, 'tracking.json'),
    /** Which job of Azure ML it is; only of such a run. */
    azure: join(folder, 'azure.json'),
    /** Outputs that were fetched from elsewhere, by name. */
    outputs: join(folder, 'outputs'),
  };
};

export async function writeRunFiles(home: string, runId: string, graph: Graph, config: string): Promise<void> {
  const files = runFiles(home, runId);
  await mkdir(files.logs, { recursive: true });
  await writeFile(files.config, config);
  await writeFile(files.graph, `${JSON.stringify(graph, null, 2)}\n`);
}

export async function readGraph(home: string, runId: string): Promise<Graph> {
  const { graph } = runFiles(home, runId);
  const text = await readFile(graph, 'utf8').catch((cause: unknown) =>
    fail(graph, 'the graph of this run is gone', 'submit again', cause),
  );
  return graphSchema.parse(JSON.parse(text));
}

/** The folder of an output of a finished run: where it was fetched to, else in its datastore on this machine. */
export async function outputFolder(home: string, runId: string, workspaceName: string, name: string, uri: string) {
  const fetched = join(runFiles(home, runId).outputs, name);
  if (
    await access(fetched).then(
      () => true,
      () => false,
    )
  )
    return fetched;
  const { datastore, path } = parseDatastoreUri(uri);
  return findDatastore(await openWorkspace(home, { workspaceName }), datastore, uri).localPath(path);
}

/** The run of this id, or the last one (of a pipeline) when none is given. */
export function findRun(history: RunHistory, runId: string | undefined, pipeline?: string): RunSummary {
  const runs = history.list();
  if (runId !== undefined) {
    history.events(runId);
    return runs.find(({ id }) => id === runId)!;
  }
  const last = runs.findLast((run) => pipeline === undefined || run.pipeline === pipeline);
  return (
    last ?? fail('run', `there is no ${pipeline === undefined ? '' : `${pipeline} `}run yet`, 'fedrad submit --help')
  );
}
