/**
 * @file Runs that are jobs of an Azure ML workspace: brings what has happened there into the history, so that the other commands read it
 * as they read any run; follows and cancels them. Loads Azure's code only where a run is one.
 */
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, outputUri } from '../backends/index.ts';
import { FedradError, fail } from '../base/index.ts';
import {
  foldRun,
  parseDatastoreUri,
  type RunEvent,
  type RunHistory,
  type RunState,
  type StepOutput,
} from '../workspace/index.ts';
import { checkEvidence } from './check-evidence.ts';
import { lineOf } from './follow-run.ts';
import { readGraph, runFiles } from './run-folder.ts';

/** A node that works is let go only when its container has ended. */
const CANCEL_TIMEOUT_MS = 10 * 60_000;
/** A look at a run takes a few calls. */
const LOCK_TIMEOUT_MS = 30_000;
const LOOK_MS = 2_000;

const loadAzure = () => import('../azure/index.ts');

/** What is needed to ask Azure ML about a run; undefined where it is not a run there. */
async function openRun(home: string, history: RunHistory, runId: string, mayAsk = true) {
  const { folder, logs } = runFiles(home, runId);
  if (!(await isAzureRun(home, runId))) return undefined;
  const azure = await loadAzure();
  const run = (await azure.readAzureRun(folder))!;
  const credential = azure.azureCredential({ mayAsk });
  const endpoints = azure.azureEndpoints();
  const ml = await azure.openAzureMl({ credential, address: run, resourceManager: endpoints.resourceManager });
  const graph = await readGraph(home, runId);
  const { lookMs } = endpoints;
  const pace = lookMs === undefined ? {} : { lookMs };
  // A problem that lasts is said once.
  const said = new Set<string>();
  const onProblem = ({ message }: FedradError): void => {
    if (said.size < said.add(message).size) process.stderr.write(`note: ${message}\n`);
  };
  const options = { ml, history, runId, graph, job: run.job, logs, now: () => new Date(), onProblem, ...pace };
  return { azure, run, ml, options, credential, endpoints };
}

/** The step whose outputs, the figures and the models, are fetched; all others stay where they are. */
const EVIDENCE = 'evidence';

/**
 * The outputs of the evidence of a run, by name; those of a run on Azure are fetched when they are first asked for. Empty where the run
 * has none yet.
 *
 * @throws FedradError where they cannot be read; the run itself is as it was
 */
export async function evidenceOutputs(
  home: string,
  history: RunHistory,
  runId: string,
): Promise<Readonly<Record<string, StepOutput>>> {
  const known = () => foldRun(history.events(runId)).steps.get(EVIDENCE)?.outputs ?? {};
  const { status, finishedAt } = foldRun(history.events(runId));
  const isFetched = (): boolean => Object.keys(known()).length > 0;
  if (isFetched() || status !== 'COMPLETED' || !(await isAzureRun(home, runId))) return known();
  using _lock = await lockOf(history, runId);
  if (isFetched()) return known();
  const { azure, ml, run, options, credential, endpoints } = (await openRun(home, history, runId))!;
  const step = options.graph.steps.find(({ id }) => id === EVIDENCE)!;
  const child = await azure.completedChild(ml, run.job, EVIDENCE);
  const folder = runFiles(home, runId).outputs;
  await mkdir(folder, { recursive: true });
  const outputs: Record<string, StepOutput> = {};
  for (const [name, template] of Object.entries(step.outputs)) {
    const uri = outputUri(template, child.runId);
    const { datastore, path } = parseDatastoreUri(uri);
    const place = await ml.blobPlace(datastore, uri);
    const container = await azure.blobContainer({ credential, blobUrl: endpoints.blobUrl, place });
    const content = await azure.openBlobDatastore(datastore, container).fetch(path, join(folder, name));
    outputs[name] = { path: uri, ...content };
  }
  await checkEvidence(folder);
  // The first was without them, or the run was over before Azure ML told of the step.
  const last = foldRun(history.events(runId)).steps.get(EVIDENCE)?.attempts.at(-1);
  const { seconds, cpuSeconds } = last?.status === 'completed' ? last : { seconds: 0, cpuSeconds: 0 };
  const at = last?.status === 'completed' ? last.finishedAt : (finishedAt ?? new Date().toISOString());
  history.append(runId, { type: 'step-finished', step: EVIDENCE, at, attempt: 1, outputs, seconds, cpuSeconds });
  return outputs;
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

/**
 * Brings the history up to date. Where Azure cannot be asked it says so on standard error, leaves the history as it is, and gives the
 * problem.
 */
export async function updateFromAzure(
  home: string,
  history: RunHistory,
  runId: string,
  { mayAsk = true } = {},
): Promise<FedradError | undefined> {
  if (foldRun(history.events(runId)).finishedAt !== undefined || !(await isAzureRun(home, runId))) return undefined;
  // Whoever holds it brings it up to date.
  using lock = history.lock(runId);
  if (!lock) return undefined;
  try {
    const opened = await openRun(home, history, runId, mayAsk);
    if (opened) await opened.azure.syncAzureRun(opened.options);
    return undefined;
  } catch (error) {
    if (!(error instanceof FedradError)) throw error;
    console.error(`note: run ${runId} as it was last seen: ${error.message}`);
    return error;
  }
}

/**
 * Follows a run to its end with a line for each change. Ctrl-C ends the following, not the run: INTERRUPTED.
 *
 * @param announce called as soon as this is so
 */
export async function followAzure(
  home: string,
  history: RunHistory,
  runId: string,
  announce: () => void,
): Promise<Outcome> {
  // Before the first call, so that Ctrl-C never ends more than the looking.
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    announce();
    using _lock = await lockOf(history, runId, interrupt.signal);
    const opened = await openRun(home, history, runId);
    if (!opened) return fail(`run ${runId}`, 'it is not a run on Azure ML', `fedrad run show ${runId}`);
    const state = await opened.azure.followAzureRun({
      ...opened.options,
      signal: interrupt.signal,
      onEvent: (event: RunEvent) => {
        const line = lineOf(event);
        if (line !== undefined) process.stderr.write(`${line}\n`);
      },
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

/** The lock of a run; whoever only looks at it lets it go within moments. */
async function lockOf(history: RunHistory, runId: string, signal?: AbortSignal) {
  for (const end = performance.now() + LOCK_TIMEOUT_MS; performance.now() < end && !signal?.aborted; ) {
    const lock = history.lock(runId);
    if (lock) return lock;
    await sleep(100);
  }
  return fail(`run ${runId}`, 'another fedrad follows it', `fedrad run show ${runId}`);
}

/**
 * Asks Azure ML to end the run and waits until it has; a job that never arrived there is left to the caller.
 *
 * @param onAccepted called where Azure ML does so
 */
export async function cancelAzure(
  home: string,
  history: RunHistory,
  runId: string,
  onAccepted: () => void,
): Promise<void> {
  const opened = await openRun(home, history, runId);
  if (!opened) return;
  const { azure, ml, run, options } = opened;
  if (!(await ml.job(run.job))) return onAccepted();
  await ml.cancel(run.job);
  onAccepted();
  const end = performance.now() + CANCEL_TIMEOUT_MS;
  while (foldRun(history.events(runId)).finishedAt === undefined) {
    if (performance.now() > end) {
      fail(
        `run ${runId}`,
        `Azure ML was asked to end it, and has not within ${CANCEL_TIMEOUT_MS / 60_000} minutes`,
        `fedrad run show ${runId}`,
      );
    }
    using lock = history.lock(runId);
    if (lock) {
      await azure.syncAzureRun(options).catch((error: unknown) => {
        if (!(error instanceof FedradError)) throw error;
        options.onProblem(error);
      });
    }
    await sleep(options.lookMs ?? LOOK_MS);
  }
}

function outcomeOf({ status, reason = '' }: RunState): Outcome {
  if (status === 'COMPLETED') return { status };
  return status === 'FAILED' || status === 'CANCELED' ? { status, reason } : { status: 'INTERRUPTED' };
}
