/** @file One attempt of a step on this machine: its folders, its sandbox, its process, and what becomes of its outputs. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { COMPONENTS, type Needs, type StepMessage, stepArguments, type Torch } from '../../components/index.ts';
import type { Step } from '../../pipelines/index.ts';
import type { StepOutput } from '../../workspace/index.ts';
import type { AttemptEnd } from '../executor.ts';
import { confine, type SandboxKind } from './sandbox.ts';
import { runAttempt } from './step-process.ts';

/** What this machine gives to its steps. */
export interface StepHost {
  readonly sandbox: SandboxKind;
  /** Path of the program that runs a step. */
  readonly stepProgram: string;
  /** For steps that train in PyTorch. */
  readonly torch?: Torch;
  /** Folder of unfinished work; each attempt has its own in it. */
  readonly work: string;
  /** Folder of the logs, one for each step. */
  readonly logs: string;
}

export interface StepWork {
  readonly step: Step;
  readonly attempt: number;
  /** Paths on this machine, by name. */
  readonly inputs: ReadonlyMap<string, string>;
  readonly threads: number;
  readonly secrets: Readonly<Record<string, string>>;
  /** Folder that survives the run, on this machine. */
  readonly cache?: string;
  readonly signal: AbortSignal;
  readonly onMessage: (message: StepMessage) => void;
  /** Moves the finished outputs, `<folder>/<name>`, to where they belong. */
  readonly publish: (folder: string) => Promise<Readonly<Record<string, StepOutput>>>;
}

/** A step that says nothing for so long is stopped. The longest silence is a batch of images, or a hospital's evaluation. */
const IDLE_TIMEOUT_MS = 30 * 60_000;

/** Runs the attempt. Throws what `publish` throws. */
export async function runStepHere(host: StepHost, work: StepWork): Promise<AttemptEnd> {
  const { step, secrets, signal, onMessage } = work;
  const folder = join(host.work, `${step.id}.${work.attempt}`);
  const out = join(folder, 'out');
  try {
    // Of an attempt that was killed.
    await rm(folder, { recursive: true, force: true });
    const result = await runAttempt({
      command: await commandOf(host, work, folder, out),
      secrets,
      logFile: join(host.logs, `${step.id}.log`),
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      signal,
      onMessage,
    });
    return result.kind === 'completed' ? { kind: 'completed', outputs: await work.publish(out) } : result;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function commandOf(host: StepHost, { step, inputs, cache, threads }: StepWork, folder: string, out: string) {
  const outputs = new Map(Object.keys(step.outputs).map((name) => [name, join(out, name)]));
  const scratch = join(folder, 'scratch');
  const write = [scratch, ...outputs.values(), ...(cache === undefined ? [] : [cache])];
  for (const path of write) await mkdir(path, { recursive: true });
  const { decoder = false, pytorch = false }: Needs = COMPONENTS[step.component].needs;
  const torch = pytorch ? host.torch : undefined;
  if (pytorch && !torch) throw new Error(`${step.id}: nobody has looked for PyTorch`);
  return confine(
    host.sandbox,
    {
      read: [...inputs.values(), ...(torch?.read ?? [])],
      write,
      network: step.network,
      workerThreads: threads > 1,
      addons: decoder,
      childProcesses: pytorch,
      devices: torch?.devices ?? [],
      environment: torch?.environment ?? {},
    },
    host.stepProgram,
    stepArguments({
      component: step.component,
      inputs,
      outputs,
      parameters: step.parameters,
      scratch,
      ...(cache === undefined ? {} : { cache }),
      threads,
      attached: true,
    }),
  );
}
