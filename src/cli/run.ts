/** @file `fedrad run`: list, show, logs, cancel, resume, report and track. */
import { createReadStream } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { fail } from '../base/index.ts';
import {
  foldRun,
  openRunHistory,
  type RunHistory,
  type RunState,
  type RunSummary,
  signedInUser,
} from '../workspace/index.ts';
import { homeOf, printJson, printRows, table } from './context.ts';
import { executeRun, tellOutcome } from './execute.ts';
import { integerOption } from './options.ts';
import { makeReport } from './report.ts';
import { cancelAzure, isAzureRun, studioOf, updateFromAzure } from './run-azure.ts';
import { findRun, readGraph, runFiles } from './run-folder.ts';
import { checkedMlruns, MLRUNS_OPTION, type TrackingChoice, trackNow } from './track.ts';
import { writeWhole } from './write-whole.ts';

interface Options {
  readonly json?: boolean;
}

interface ResumeOptions extends TrackingChoice {
  readonly cores?: number;
}

const CANCEL_TIMEOUT_MS = 15_000;
const FOLLOW_INTERVAL_MS = 500;
/** Each look is several questions to Azure. */
const AZURE_FOLLOW_INTERVAL_MS = 5_000;
const AZURE_PROBLEMS_IN_A_ROW = 10;
/** A submitted run that nobody has taken up after so long never will be. */
const START_TIMEOUT_MS = 20_000;

export function addRunCommands(root: Command): void {
  const group = root
    .command('run')
    .description('runs: list, show, logs, cancel, resume, report, track')
    .addHelpText('after', '\nExample:\n  fedrad run list\n  fedrad run show calm_lung_7f3k2q');
  const runCommand = (usage: string, description: string, example: string): Command =>
    group
      .command(usage)
      .description(description)
      .option('--json', 'print as JSON')
      .addHelpText('after', `\nExample:\n  ${example}`);
  const opened = async (command: Command) => {
    const home = homeOf(command);
    return { home, history: await openRunHistory(home) };
  };

  runCommand('list', 'list all runs, oldest first', 'fedrad run list').action(
    async ({ json }: Options, command: Command) => {
      const { home, history } = await opened(command);
      for (const { id, finishedAt } of history.list())
        if (finishedAt === undefined) await updateFromAzure(home, history, id, { mayAsk: false });
      const runs = await Promise.all(
        history.list().map(async (run) => ({ ...run, status: await currentStatus(home, history, run) })),
      );
      printRows(
        runs,
        {
          RUN: ({ id }) => id,
          PIPELINE: ({ pipeline }) => pipeline,
          STATUS: ({ status }) => status,
          SUBMITTED: ({ submittedAt }) => submittedAt,
          REASON: ({ reason }) => shortened(reason ?? '', 80),
        },
        json,
        'no runs yet (fedrad submit --help)',
      );
    },
  );

  runCommand(
    'show [run]',
    'show the steps and figures of a run (default: the last one)',
    'fedrad run show calm_lung_7f3k2q',
  ).action(async (runId: string | undefined, { json }: Options, command: Command) => {
    const { home, history } = await opened(command);
    await updateFromAzure(home, history, findRun(history, runId).id);
    const run = findRun(history, runId);
    const state = foldRun(history.events(run.id));
    const status = await currentStatus(home, history, run);
    const graph = await readGraph(home, run.id);
    const studio = await studioOf(home, run.id);
    if (json)
      return printJson({
        ...run,
        status,
        ...(studio === undefined ? {} : { studio }),
        steps: Object.fromEntries(state.steps),
      });
    console.log(`${run.id}  ${run.experiment}  ${status}${run.reason === undefined ? '' : `: ${run.reason}`}`);
    console.log(
      `workspace ${run.workspace}, submitted ${run.submittedAt}, graph ${run.graphHash.slice(0, 12)}, sandbox ${run.started?.sandbox ?? '-'}${studio === undefined ? '' : `\nStudio: ${studio}`}\n`,
    );
    console.log(
      table(
        ['STEP', 'COMPUTE', 'STATUS', 'SECONDS', 'FIGURES'],
        graph.steps.map(({ id, compute }) => [id, compute, ...stepCells(state, id)]),
      ),
    );
    if (status === 'INTERRUPTED') console.log(`\nNext: fedrad run resume ${run.id}`);
  });

  runCommand(
    'logs [run]',
    'print the log of a run (default: the last one)',
    'fedrad run logs calm_lung_7f3k2q --step silo0_preparation',
  )
    .option('--step <id>', 'only this step')
    .option('--follow', 'go on until the run has ended')
    .action(
      async (runId: string | undefined, options: Options & { step?: string; follow?: boolean }, command: Command) => {
        const { home, history } = await opened(command);
        const run = findRun(history, runId);
        const graph = await readGraph(home, run.id);
        const steps = options.step === undefined ? graph.steps.map(({ id }) => id) : [options.step];
        if (options.step !== undefined && !graph.steps.some(({ id }) => id === options.step)) {
          fail(`run ${run.id}`, `no step "${options.step}"`, `fedrad run show ${run.id}`);
        }
        const { logs } = runFiles(home, run.id);
        if (options.json) {
          return printJson(
            Object.fromEntries(
              await Promise.all(
                steps.map(async (id) => [id, await readFile(join(logs, `${id}.log`), 'utf8').catch(() => '')]),
              ),
            ),
          );
        }
        const printed = new Map<string, number>();
        const { runnerLog } = runFiles(home, run.id);
        const print = async (): Promise<void> => {
          if (options.step === undefined) printed.set('', await printFrom(runnerLog, 'the run', printed.get('') ?? 0));
          for (const id of steps) printed.set(id, await printFrom(join(logs, `${id}.log`), id, printed.get(id) ?? 0));
        };
        const onAzure = await isAzureRun(home, run.id);
        let problem = onAzure ? await updateFromAzure(home, history, run.id) : undefined;
        let problems = 0;
        await print();
        // Until the run is over, or its reader has gone.
        while (
          options.follow &&
          process.stdout.errored === null &&
          !isOver(await currentStatus(home, history, findRun(history, run.id)))
        ) {
          problems = problem === undefined ? 0 : problems + 1;
          // Signing in again is for the user.
          if (problem && (/sign-in/.test(problem.problem) || problems >= AZURE_PROBLEMS_IN_A_ROW)) throw problem;
          await sleep(onAzure ? AZURE_FOLLOW_INTERVAL_MS : FOLLOW_INTERVAL_MS);
          if (onAzure) problem = await updateFromAzure(home, history, run.id);
          await print();
        }
      },
    );

  runCommand(
    'cancel [run]',
    'stop a run (default: the last one); its finished steps are kept',
    'fedrad run cancel calm_lung_7f3k2q',
  ).action(async (runId: string | undefined, { json }: Options, command: Command) => {
    const { home, history } = await opened(command);
    const { id } = findRun(history, runId);
    // It may have ended on Azure since.
    await updateFromAzure(home, history, id);
    const run = findRun(history, id);
    const before = await currentStatus(home, history, run);
    if (isOver(before) && before !== 'INTERRUPTED')
      fail(`run ${run.id}`, `it has ended already: ${before}`, 'fedrad run list');
    const { displayName } = await signedInUser(home);
    const at = (): string => new Date().toISOString();
    const requested = (): void => void history.append(run.id, { type: 'cancel-requested', at: at(), by: displayName });
    const onAzure = await isAzureRun(home, run.id);
    if (onAzure) await cancelAzure(home, history, run.id, requested);
    else {
      requested();
      await waitUntilFree(history, run.id);
    }
    using lock = history.lock(run.id);
    // Whoever ran it has ended it by now, in one way or another; a run that nobody had is ended here.
    if (lock && foldRun(history.events(run.id)).finishedAt === undefined) {
      history.append(run.id, { type: 'finished', at: at(), status: 'CANCELED', reason: `canceled by ${displayName}` });
    }
    // Unfinished work holds a hospital's images.
    await rm(runFiles(home, run.id).work, { recursive: true, force: true });
    const { status } = foldRun(history.events(run.id));
    if (json) printJson({ id: run.id, status });
    else if (status === 'CANCELED')
      console.log(`Run ${run.id} is canceled${onAzure ? '' : ` (fedrad run resume ${run.id} takes it up again)`}.`);
    else fail(`run ${run.id}`, `it ended before it could be canceled: ${status}`, `fedrad run show ${run.id}`);
  });

  runCommand(
    'resume [run]',
    'go on with a run that was interrupted, failed or canceled; finished steps are not run again',
    'fedrad run resume calm_lung_7f3k2q',
  )
    .option('--cores <n>', 'cores to use (default: all)', integerOption(1, 1024))
    .option(...MLRUNS_OPTION)
    .action(async (runId: string | undefined, given: Options & ResumeOptions, command: Command) => {
      const { home, history } = await opened(command);
      const mlruns = await checkedMlruns(given);
      const options = mlruns === undefined ? given : { ...given, mlruns };
      const run = findRun(history, runId);
      if (run.status === 'COMPLETED')
        fail(`run ${run.id}`, 'it is completed, nothing is left to do', `fedrad run report ${run.id}`);
      if (await isAzureRun(home, run.id))
        fail(
          `run ${run.id}`,
          'it ran on Azure ML, which does not take a job up again',
          'fedrad submit: finished steps with the same inputs are reused there',
        );
      const outcome = await executeRun(home, history, run.id, options);
      if (options.json) printJson({ id: run.id, ...outcome });
      process.exitCode = options.json
        ? Number(outcome.status !== 'COMPLETED')
        : tellOutcome(home, run.id, run.pipeline, outcome);
    });

  runCommand(
    'report [run]',
    'write the evidence report as one HTML file (default: of the last pneumonia run)',
    'fedrad run report --output report.html',
  )
    .option('--output <file>', "where to write it (default: in the run's folder)")
    .action(async (runId: string | undefined, options: Options & { output?: string }, command: Command) => {
      const { home, history } = await opened(command);
      const run = findRun(history, runId, 'pneumonia');
      await updateFromAzure(home, history, run.id);
      const { html, evidence, summary } = await makeReport(home, history, run.id);
      const file = options.output ?? runFiles(home, run.id).report;
      await writeWhole({ [file]: html });
      if (options.json) return printJson({ id: run.id, report: file, evidence });
      console.log(`${summary}\n\nReport: ${file}`);
    });

  runCommand(
    'track [run]',
    'log a run to MLflow, or what is missing of it there (default: the last one)',
    'fedrad run track calm_lung_7f3k2q --mlruns mlruns',
  )
    .option(...MLRUNS_OPTION)
    .action(async (runId: string | undefined, options: Options & TrackingChoice, command: Command) => {
      const { home, history } = await opened(command);
      const run = findRun(history, runId);
      const mlruns = await checkedMlruns(options);
      await updateFromAzure(home, history, run.id);
      const tracked = await trackNow(home, history, run.id, mlruns === undefined ? {} : { mlruns });
      if (options.json) printJson({ id: run.id, tracked });
      else console.log(`Run ${run.id} is logged: ${tracked}`);
    });
}

const shortened = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1)}…`;

/** The status, seen from outside: a run that nobody holds is not running. */
async function currentStatus(
  home: string,
  history: RunHistory,
  { id, status, submittedAt }: RunSummary,
): Promise<RunSummary['status'] | 'INTERRUPTED'> {
  // There it runs without anybody here.
  if (await isAzureRun(home, id)) return status;
  const starting = status === 'QUEUED' && Date.now() - Date.parse(submittedAt) < START_TIMEOUT_MS;
  return isOver(status) || starting || history.isLocked(id) ? status : 'INTERRUPTED';
}

const isOver = (status: string): boolean => ['COMPLETED', 'FAILED', 'CANCELED', 'INTERRUPTED'].includes(status);

/** Waits until the process that runs it has let it go. */
async function waitUntilFree(history: RunHistory, runId: string): Promise<void> {
  const deadline = performance.now() + CANCEL_TIMEOUT_MS;
  while (history.isLocked(runId)) {
    if (performance.now() > deadline)
      fail(`run ${runId}`, `it did not stop within ${CANCEL_TIMEOUT_MS / 1000} s`, `fedrad run show ${runId}`);
    await sleep(100);
  }
}

/** Status, seconds and figures of a step. */
function stepCells(state: RunState, id: string): [string, string, string] {
  const step = state.steps.get(id);
  const last = step?.attempts.at(-1);
  if (!step || !last || step.waiting !== undefined) return ['waiting', '', ''];
  const seconds = last.status === 'completed' ? last.seconds.toFixed(1) : '';
  const latest = new Map(step.metrics.map(({ name, value }) => [name.split('/').at(-1)!, value]));
  const figures = [...latest].map(([name, value]) => `${name} ${Number(value.toFixed(4))}`).join(', ');
  return [last.attempt > 1 ? `${last.status} (attempt ${last.attempt})` : last.status, seconds, figures];
}

/** Prints what a log has gained since `offset`; gives the new offset. */
async function printFrom(file: string, step: string, offset: number): Promise<number> {
  const size = await stat(file).then(
    ({ size }) => size,
    () => 0,
  );
  if (size <= offset || process.stdout.errored) return offset;
  console.log(`--- ${step}`);
  // Not a pipeline: each leaves listeners on standard output, and a run has many logs.
  for await (const chunk of createReadStream(file, { start: offset, end: size - 1 })) {
    // What goes wrong with standard output is for its own listener.
    await new Promise<void>((resolve) => {
      process.stdout.write(chunk, () => resolve());
    });
    if (process.stdout.errored) break;
  }
  return size;
}
