/**
 * @file The local backend: every step a child process in its sandbox, side by side within the cores.
 */
import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { COMPONENTS, type Torch } from '../../components/index.ts';
import type { Step } from '../../pipelines/index.ts';
import {
  findCompute,
  findDatastore,
  parseDatastoreUri,
  type RunHistory,
  type StepOutput,
  type Workspace,
} from '../../workspace/index.ts';
import type { Backend } from '../backend.ts';
import type { Attempt, AttemptEnd, Executor, RunningStep } from '../executor.ts';
import { publishOutputs } from '../publish-outputs.ts';
import { runGraph } from '../run-graph.ts';
import { runStepHere, type StepHost } from './run-step-here.ts';
import type { SandboxKind } from './sandbox.ts';

export interface LocalBackendOptions {
  readonly workspace: Workspace;
  readonly history: RunHistory;
  /** Folder for the logs and unfinished work of a run. */
  readonly runFolder: (runId: string) => string;
  readonly sandbox: SandboxKind;
  /** Path of the program that runs a step. */
  readonly stepProgram: string;
  /** Cores to fill; default all. */
  readonly cores?: number;
  /** Which arithmetic the engine has here; recorded with the run, and the same when it is resumed. */
  readonly kernels?: string;
  /** For steps that train in PyTorch. */
  readonly torch?: Torch;
  readonly now: () => Date;
}

export function localBackend(options: LocalBackendOptions): Backend {
  return {
    execute: async (runId, graph, hooks) => {
      const executor = await openLocalExecutor(options, options.runFolder(runId));
      const { history, kernels, now } = options;
      try {
        return await runGraph(
          { history, runId, graph, ...(kernels === undefined ? {} : { kernels }), now, ...hooks },
          executor,
        );
      } finally {
        await executor.close();
      }
    },
  };
}

export type LocalExecutorOptions = Pick<
  LocalBackendOptions,
  'workspace' | 'sandbox' | 'stepProgram' | 'cores' | 'torch'
>;

/** Runs steps on this machine. `folder` is for the logs, and for unfinished work that `close` removes. */
export async function openLocalExecutor(
  options: LocalExecutorOptions,
  folder: string,
): Promise<Executor & { close(): Promise<void> }> {
  const { workspace, sandbox, stepProgram, torch } = options;
  const cores = options.cores ?? availableParallelism();
  const work = join(folder, 'work');
  const host: StepHost = {
    ...{ sandbox, stepProgram, work, logs: join(folder, 'logs') },
    ...(torch === undefined ? {} : { torch }),
  };
  await rm(work, { recursive: true, force: true });
  await mkdir(host.logs, { recursive: true });
  return {
    sandbox,
    cores,
    threadsFor: (step, ready, running) => threadsFor(step, ready, running, cores, sandbox),
    run: (attempt) => runLocally(workspace, host, attempt),
    isIntact: (output) => isIntact(workspace, output),
    close: () => rm(work, { recursive: true, force: true }),
  };
}

const isTraining = ({ component }: Step): boolean => component.startsWith('train-in-silo');

/**
 * The cores are shared out among the steps that are ready. A training lasts longest by far and keeps its threads to its end, so it starts
 * when all that is shorter is out of the way: else an evaluation of seconds would have halved it.
 */
export function threadsFor(
  step: Step,
  ready: readonly Step[],
  running: readonly RunningStep[],
  cores: number,
  sandbox: SandboxKind,
): number | undefined {
  const free = cores - running.reduce((sum, { threads }) => sum + threads, 0);
  if (free < 1) return undefined;
  const isShorter = (other: Step): boolean => !isTraining(other);
  if (isTraining(step) && (ready.some(isShorter) || running.some((each) => isShorter(each.step)))) return undefined;
  const usesThreads = 'threads' in COMPONENTS[step.component].needs && sandbox === 'bubblewrap';
  return usesThreads ? Math.max(1, Math.floor(free / ready.length)) : 1;
}

async function runLocally(workspace: Workspace, host: StepHost, attempt: Attempt): Promise<AttemptEnd> {
  const { runId, step, threads, signal, onMessage } = attempt;
  const inputs = new Map<string, string>();
  for (const name of attempt.inputs) {
    const input = step.inputs[name]!;
    if (input.from === 'local') inputs.set(name, input.path);
    if (input.from === 'datastore') inputs.set(name, localPath(workspace, input.path));
    if (input.from === 'step') {
      const { path } = attempt.finished.get(input.step)![input.output]!;
      inputs.set(name, localPath(workspace, path));
    }
  }
  return runStepHere(host, {
    ...{ step, attempt: attempt.attempt, inputs, threads, signal, onMessage },
    secrets: await secretsOf(workspace, step),
    ...(step.cache === undefined ? {} : { cache: localPath(workspace, step.cache) }),
    publish: (folder) =>
      publishOutputs({ run: runId, step, folder, redone: attempt.redone }, (uri) => {
        const { datastore, path } = parseDatastoreUri(uri);
        return { datastore: findDatastore(workspace, datastore, uri), path };
      }),
  });
}

async function isIntact(workspace: Workspace, { path, sha256 }: StepOutput): Promise<boolean> {
  const at = parseDatastoreUri(path);
  const datastore = findDatastore(workspace, at.datastore, path);
  return (await datastore.exists(at.path)) && (await datastore.hash(at.path)).sha256 === sha256;
}

async function secretsOf(workspace: Workspace, step: Step): Promise<Record<string, string>> {
  const { identity } = findCompute(workspace, step.compute, step.id);
  const secrets: Record<string, string> = {};
  for (const name of step.secrets) secrets[name] = (await workspace.vault.getSecret(name, identity)).reveal();
  return secrets;
}

const localPath = (workspace: Workspace, uri: string): string => {
  const { datastore, path } = parseDatastoreUri(uri);
  return findDatastore(workspace, datastore, uri).localPath(path);
};
