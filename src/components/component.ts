/**
 * @file What a component is: one kind of step, with typed inputs, outputs and parameters. A step of a pipeline is one component
 * run in one process, which sees only the paths it is given.
 */
import type { z } from 'zod';

/** What a step may do beyond reading its inputs and writing its outputs. */
export interface Needs {
  /** Loads the native image decoder (sharp). */
  readonly decoder?: boolean;
  /** Computes on several threads when it is given them. */
  readonly threads?: boolean;
  /** Starts a Python with PyTorch. */
  readonly pytorch?: boolean;
}

export interface ComponentSpec {
  readonly description: string;
  /** Input names; one that ends in `_*` stands for any number of inputs with that prefix, `?` for an optional one. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly parameters: z.ZodType;
  readonly needs: Needs;
  /** Loads the code: only the step's own process does. */
  readonly load: () => Promise<{ readonly run: (context: never) => Promise<void> }>;
}

/** What a running step is given. */
export interface StepContext<Parameters> {
  /** Path of each input, read-only. */
  readonly inputs: ReadonlyMap<string, string>;
  /** Path of an empty folder for each output. */
  readonly outputs: ReadonlyMap<string, string>;
  readonly parameters: Parameters;
  /** Values from the key vault by name. */
  readonly secrets: Readonly<Record<string, string>>;
  /** An empty folder that is removed after the step. */
  readonly scratch: string;
  readonly cache: string | undefined;
  readonly threads: number;
  readonly report: Reporter;
}

/** How a step tells its progress; nothing about single patients goes in here. */
export interface Reporter {
  progress(done: number, total: number, text: string): void;
  metric(name: string, value: number, iteration?: number): void;
  note(text: string): void;
  /** Passes on a line of a process that the step has started. Absent: nobody here wants them, and that process may write for itself. */
  relay?(line: string): void;
}

/** The path of an input that must be there; a missing one is a defect of the pipeline. */
export function inputPath(context: StepContext<unknown>, name: string): string {
  const path = context.inputs.get(name);
  if (path === undefined) throw new Error(`input "${name}" is missing`);
  return path;
}

/** The folder of an output. */
export function outputPath(context: StepContext<unknown>, name: string): string {
  const path = context.outputs.get(name);
  if (path === undefined) throw new Error(`output "${name}" is missing`);
  return path;
}

/** Inputs whose names start with `prefix`, in the order in which they were given, without the prefix. */
export const inputsWithPrefix = (context: StepContext<unknown>, prefix: string): [string, string][] =>
  [...context.inputs]
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, path]) => [name.slice(prefix.length), path]);
