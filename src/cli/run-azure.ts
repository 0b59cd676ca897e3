/**
 * @file Runs that are jobs of an Azure ML workspace: brings what has happened there into the history, so that the other commands read it
 * as they read any run; follows and cancels them. Loads Azure's code only where a run is one.
 */
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, outputUri } from '../backends/index.ts';
import { FedradError, fail } from '../base/index.ts';
import { foldRun, parseDatastoreUri, type RunEvent, type RunHistory, type RunState } from '../workspace/index.ts';
import { lineOf } from './follow-run.ts';
import { readGraph, runFiles } from './run-folder.ts';

const CANCEL_TIMEOUT_MS = 120_000;
const LOOK_MS = 2_000;

const loadAzure = () => import('../azure/index.ts');

/** What is needed to ask Azure ML about a run; undefined where it is not a run there. */
async function openRun(home: string, history: RunHistory, runId: string) {
  const { folder, logs, outputs } = runFiles(home, runId);
  if (!(await isAzureRun(home, runId))) return undefined;
  const azure = await loadAzure();
  const run = (await azure.readAzureRun(folder))!;
  const credential = azure.azureCredential();
  const endpoints = azure.azureEndpoints();
  const ml = await azure.openAzureMl({ credential, address: run, resourceManager: endpoints.resourceManager });
  const graph = await readGraph(home, runId);
  const fetchOutputs: Parameters<typeof azure.syncAzureRun>[0]['fetchOutputs'] = async (step, child) => {
    // The evidence and its models; everything else stays where it is.
    if (step.component !== 'collect-evidence') return {};
    const fetched: Awaited<ReturnType<typeof fetchOutputs>> = {};
    for (const [name, template] of Object.entries(step.outputs)) {
      const uri = outputUri(template, child.runId);
      const { datastore, path } = parseDatastoreUri(uri);
      const place = await ml.blobPlace(datastore, uri);
      const container = azure.blobContainer({ credential, blobUrl: endpoints.blobUrl, place });
      await mkdir(outputs, { recursive: true });
      const content = await azure.openBlobDatastore(datastore, container).fetch(path, join(outputs, name));
      fetched[name] = { path: uri, ...content };
    }
    return fetched;
  };
  const { lookMs } = endpoints;
  const pace = lookMs === undefined ? {} : { lookMs };
  const options = { ml, history, runId, graph, job: run.job, logs, fetchOutputs, now: () => new Date(), ...pace };
  return { azure, run, ml, options };
}

/** Whether the run is a job of an Azure ML workspace. Loads nothing of Azure. */
export async function isAzureRun(home: string, runId: string): Promise<boolean> {
  return access(runFiles(home, runId).azure).then(
    () => true,
    () => false,
  );
}

/** Address of the run in Azure ML studio; undefined where it is not a run there. */
export async function studioOf(home: string, runId: string): Promise<string | undefined> {
  if (!(await isAzureRun(home, runId))) return undefined;
  return (await (await loadAzure()).readAzureRun(runFiles(home, runId).folder))?.studio;
}

/** Brings the history up to date. Where Azure cannot be asked it says so on standard error and leaves the history as it is. */
export async function updateFromAzure(home: string, history: RunHistory, runId: string): Promise<void> {
  if (foldRun(history.events(runId)).finishedAt !== undefined || !(await isAzureRun(home, runId))) return;
  // Whoever holds it brings it up to date.
  using lock = history.lock(runId);
  if (!lock) return;
  try {
    const opened = await openRun(home, history, runId);
    if (opened) await opened.azure.syncAzureRun(opened.options);
  } catch (error) {
    if (!(error instanceof FedradError)) throw error;
    console.error(`note: run ${runId} as it was last seen: ${error.message}`);
  }
}

/** Follows a run to its end with a line for each change. Ctrl-C ends the following, not the run: INTERRUPTED. */
export async function followAzure(home: string, history: RunHistory, runId: string): Promise<Outcome> {
  using lock = history.lock(runId);
  if (!lock) return fail(`run ${runId}`, 'another fedrad follows it', `fedrad run show ${runId}`);
  // Before the first call, so that Ctrl-C never ends more than the looking.
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const opened = await openRun(home, history, runId);
    if (!opened) return fail(`run ${runId}`, 'it is not a run on Azure ML', `fedrad run show ${runId}`);
    const state = await opened.azure.followAzureRun({
      ...opened.options,
      signal: interrupt.signal,
      onEvent: (event: RunEvent) => {
        const line = lineOf(event);
        if (line !== undefined) process.stderr.write(`${line}\n`);
      },
      onProblem: (error) => process.stderr.write(`note: ${error.message}\n`),
    });
    return outcomeOf(state);
  } catch (error) {
    if (!(error instanceof FedradError)) throw error;
    // Only the looking has ended.
    const remedy = `${error.remedy ?? 'mend it'}; then fedrad run logs ${runId} --follow`;
    return fail(error.where, `${error.problem}; run ${runId} goes on at Azure`, remedy, error);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** Asks Azure ML to end the run and waits until it has; `onAccepted` is called where Azure ML does so. */
export async function cancelAzure(
  home: string,
  history: RunHistory,
  runId: string,
  onAccepted: () => void,
): Promise<void> {
  const opened = await openRun(home, history, runId);
  if (!opened) return;
  await opened.ml.cancel(opened.run.job);
  onAccepted();
  const end = performance.now() + CANCEL_TIMEOUT_MS;
  while (foldRun(history.events(runId)).finishedAt === undefined) {
    if (performance.now() > end) {
      fail(
        `run ${runId}`,
        `Azure ML has not ended it within ${CANCEL_TIMEOUT_MS / 1000} s`,
        `fedrad run show ${runId}`,
      );
    }
    using lock = history.lock(runId);
    if (lock) await opened.azure.syncAzureRun(opened.options);
    await sleep(opened.options.lookMs ?? LOOK_MS);
  }
}

function outcomeOf({ status, reason = '' }: RunState): Outcome {
  if (status === 'COMPLETED') return { status };
  return status === 'FAILED' || status === 'CANCELED' ? { status, reason } : { status: 'INTERRUPTED' };
}
