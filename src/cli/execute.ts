/** @file Executes a submitted run in this process, with progress, and leaves its report behind. */
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { detectSandbox, localBackend, type Outcome } from '../backends/index.ts';
import { fail } from '../base/index.ts';
import { describeTorch, findTorch } from '../components/index.ts';
import type { Federation } from '../messaging/index.ts';
import { type Graph, graphHash } from '../pipelines/index.ts';
import { hasFederation, openWorkspace, type RunHistory } from '../workspace/index.ts';
import { describeKernels } from './describe-kernels.ts';
import { progressPrinter } from './progress.ts';
import { makeReport } from './report.ts';
import { readGraph, runFiles, runFolder } from './run-folder.ts';
import { beginTracking, type TrackingChoice } from './track.ts';

const programFolder = join(import.meta.dirname, '..', '..', 'bin');

export interface ExecuteOptions extends TrackingChoice {
  readonly cores?: number;
  /** Without progress lines. */
  readonly quiet?: boolean;
  /** Ends the run so that it can be resumed; by default Ctrl-C does. */
  readonly signal?: AbortSignal;
  /** Hears of what the run overcomes (default: notes on standard error). */
  readonly onProblem?: (text: string) => void;
  /** A connection that is there already, to a workspace across hospitals. */
  readonly link?: FederationLink;
}

export interface FederationLink {
  readonly federation: Federation;
  readonly nc: Awaited<ReturnType<Federation['connect']>>;
}

/** Runs what is left of a run and returns how it ended; Ctrl-C interrupts it so that it can be resumed. */
export async function executeRun(
  home: string,
  history: RunHistory,
  runId: string,
  options: ExecuteOptions = {},
): Promise<Outcome> {
  const run = history.list().find(({ id }) => id === runId)!;
  using lock = history.lock(runId);
  if (!lock)
    return fail(`run ${runId}`, 'it is already running', `fedrad run show ${runId}; fedrad run cancel ${runId}`);
  const graph = await readGraph(home, runId);
  if (graphHash(graph) !== run.graphHash) {
    fail(runFiles(home, runId).graph, 'it is not the graph that was submitted: its hash differs', 'submit again');
  }
  const workspace = await openWorkspace(home, { workspaceName: run.workspace });
  const across = await hasFederation(home, run.workspace);
  // Across hospitals Python is theirs.
  const torch = trainsInPytorch(graph) && !across ? await findTorch(`run ${runId}`, { home }) : undefined;
  const sandbox = detectSandbox();
  if (torch && sandbox !== 'bubblewrap')
    console.error('note: without bubblewrap Python is not confined: it can read what you can (apt install bubblewrap)');
  const local = {
    workspace,
    history,
    runFolder: (id: string) => runFolder(home, id),
    sandbox,
    stepProgram: join(programFolder, 'fedrad-step.js'),
    ...(options.cores === undefined ? {} : { cores: options.cores }),
    kernels: [await describeKernels(), ...(torch ? [describeTorch(torch)] : [])].join('; '),
    ...(torch ? { torch } : {}),
    now: () => new Date(),
  };
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  if (!options.signal) process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const progress = progressPrinter(process.stderr, () => performance.now());
  const { onProblem = (text: string): void => console.error(`note: ${text}`) } = options;
  let link: FederationLink | undefined;
  const tracking = await beginTracking(home, history, runId, graph, options);
  let ended: 'ended' | 'interrupted' = 'interrupted';
  try {
    link = across ? (options.link ?? (await connectFederation(home, run.workspace))) : undefined;
    const backend = link
      ? (await import('../across/index.ts')).natsBackend({ ...local, ...link, onProblem })
      : localBackend(local);
    const outcome = await backend.execute(runId, graph, {
      signal: options.signal ?? interrupt.signal,
      onUpdate: options.quiet ? () => {} : progress.update,
    });
    progress.end();
    if (outcome.status !== 'INTERRUPTED') ended = 'ended';
    if (outcome.status === 'COMPLETED' && graph.pipeline === 'pneumonia') {
      await writeFile(runFiles(home, runId).report, (await makeReport(home, history, runId)).html);
    }
    return outcome;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    if (!options.link) await link?.nc.close();
    await tracking?.close(ended);
  }
}

async function connectFederation(home: string, workspace: string): Promise<FederationLink> {
  const { openFederation } = await import('../messaging/index.ts');
  const federation = await openFederation(home, workspace);
  return { federation, nc: await federation.connect('run') };
}

const trainsInPytorch = ({ steps }: Graph): boolean =>
  steps.some(({ component }) => component === 'train-in-silo-pytorch');

/** Held by `fedrad orchestrator start` as long as it lives. */
export const daemonLock = (home: string, workspace: string): string => join(home, 'locks', `orchestrator-${workspace}`);

/** Runs it in a process of its own that outlives this one. */
export function executeInBackground(
  home: string,
  runId: string,
  { cores, mlruns }: TrackingChoice & { readonly cores?: number },
): void {
  const log = openSync(runFiles(home, runId).runnerLog, 'a', 0o600);
  const args = [join(programFolder, 'fedrad.js'), '--home', home, 'run', 'resume', runId];
  if (cores !== undefined) args.push('--cores', String(cores));
  if (mlruns !== undefined) args.push('--mlruns', mlruns);
  spawn(process.execPath, args, { detached: true, stdio: ['ignore', log, log] }).unref();
}

/** Says how the run ended and what to type next; the exit code of the command. `onAzure`: the options that name its workspace there. */
export function tellOutcome(home: string, runId: string, pipeline: string, outcome: Outcome, onAzure?: string): number {
  switch (outcome.status) {
    case 'COMPLETED':
      console.log(`Run ${runId} completed.`);
      if (pipeline === 'pneumonia') {
        console.log(`Report: ${runFiles(home, runId).report}`);
        console.log(`Model card: fedrad model card --model ${runId}`);
        console.log(`Next: fedrad model evaluate --model ${runId} --data <folder with NORMAL/ and PNEUMONIA/>`);
      } else {
        console.log(`Next: fedrad submit pneumonia ${onAzure === undefined ? '' : `${onAzure} `}--wait`);
      }
      return 0;
    case 'INTERRUPTED':
      console.error(`Run ${runId} was interrupted (fedrad run resume ${runId} goes on where it was).`);
      return 130;
    default:
      console.error(`Run ${runId}: ${outcome.status}: ${outcome.reason}`);
      if (outcome.status === 'FAILED') {
        const again = onAzure === undefined ? `fedrad run resume ${runId}` : `fedrad submit ${pipeline} ${onAzure}`;
        console.error(`Next: fedrad run logs ${runId}; once mended: ${again}`);
      }
      return 1;
  }
}
