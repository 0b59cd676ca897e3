/**
 * @file Stand-in for run history v1.0: of a run its children and details, as the client of azure-ai-ml in Azure/azure-sdk-for-python calls
 * it. It tells what the jobs of machine-learning.ts are.
 */
import { type ChildState, type JobState, ok, refuse, type WorkspaceState } from './machine-learning.ts';
import type { ApiReply, ApiRequest } from './stand-in.ts';

/** `GET /history/v1.0/…/workspaces/<name>/runs/<run>/(children|details)` */
export function runHistory(
  workspaces: ReadonlyMap<string, WorkspaceState>,
  { method, path }: ApiRequest,
): ApiReply | undefined {
  const [, id = '', run = '', what] = /^\/history\/v1\.0(.*)\/runs\/([^/]+)\/(children|details)$/.exec(path) ?? [];
  if (what === undefined || method !== 'GET') return undefined;
  const jobs = [...(workspaces.get(id)?.jobs.values() ?? [])];
  if (what === 'children') {
    const job = jobs.find((each) => each.name === run);
    if (!job) return refuse(404, 'UserError', `run ${run} was not found`);
    return ok({ value: job.children.map((child) => childReply(job, child)) });
  }
  const child = jobs.flatMap(({ children }) => children).find(({ runId }) => runId === run);
  if (!child) return refuse(404, 'UserError', `run ${run} was not found`);
  return ok({ runId: run, logFiles: child.logFiles ?? {} });
}

function childReply({ name: parentRunId, body }: JobState, child: ChildState) {
  const { display_name: displayName, tags } = body.properties.jobs[child.node]!;
  return {
    runId: child.runId,
    parentRunId,
    displayName,
    tags,
    status: child.status,
    startTimeUtc: child.startedAt ?? null,
    endTimeUtc: child.endedAt ?? null,
    error: child.error === undefined ? null : { error: { code: 'UserError', message: child.error } },
  };
}
