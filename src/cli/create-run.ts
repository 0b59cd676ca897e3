/** @file Records a new run: its files, then its first event. */
import { type Graph, graphHash } from '../pipelines/index.ts';
import { newRunId, type RunHistory } from '../workspace/index.ts';
import { writeRunFiles } from './run-folder.ts';

/** Records a run of this graph in a workspace, compiled from the text of `config`; gives its id. */
export async function createRun(
  home: string,
  history: RunHistory,
  graph: Graph,
  config: string,
  workspace: string,
): Promise<string> {
  const id = newRunId();
  await writeRunFiles(home, id, graph, config);
  const { experiment, pipeline } = graph;
  history.create({ id, at: new Date().toISOString(), experiment, pipeline, workspace, graphHash: graphHash(graph) });
  return id;
}
