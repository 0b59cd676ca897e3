/** @file What differs from backend to backend: how one attempt of a step is run and its files are moved. */
import type { StepMessage } from '../components/index.ts';
import type { Step } from '../pipelines/index.ts';
import type { StepOutput } from '../workspace/index.ts';
import type { Outputs } from './readiness.ts';

export interface Attempt {
  readonly runId: string;
  readonly step: Step;
  /** Counts from 1, over all processes that ran the run: no two attempts of a step have the same. */
  readonly attempt: number;
  /** When it first started: before a crash of the process that runs the run, it may be. */
  readonly startedAt: Date;
  readonly threads: number;
  /** The inputs that are there. */
  readonly inputs: readonly string[];
  readonly finished: ReadonlyMap<string, Outputs>;
  /** Other content may lie where the outputs go: they were damaged since the step first finished. */
  readonly redone: boolean;
  readonly signal: AbortSignal;
  readonly onMessage: (message: StepMessage) => void;
  /** Why the step cannot go on, or undefined when it goes on again. */
  readonly onWaiting: (reason: string | undefined) => void;
}

export type AttemptEnd =
  | { readonly kind: 'completed'; readonly outputs: Readonly<Record<string, StepOutput>> }
  /** Trying again would give the same: bad input, refused credentials, no space. */
  | { readonly kind: 'refused'; readonly error: string; readonly logTail: readonly string[] }
  /** `here`: by no fault of the compute. */
  | { readonly kind: 'crashed'; readonly error: string; readonly logTail: readonly string[]; readonly here?: true }
  /** Outputs of earlier steps are gone, or no longer what they were: those steps run again, then this one. */
  | { readonly kind: 'inputs-lost'; readonly inputs: readonly string[] }
  | { readonly kind: 'aborted' };

export interface Executor {
  /** What keeps the steps apart, and the cores that they share: recorded with the run. */
  readonly sandbox: string;
  readonly cores: number;
  /**
   * Threads for a step, or undefined when it has to wait: for one of `running`, or for another of `ready`, the steps that could start now,
   * itself among them.
   */
  threadsFor(step: Step, ready: readonly Step[], running: readonly RunningStep[]): number | undefined;
  /** Runs one attempt to its end. Throws FedradError for what went wrong on this side. */
  run(attempt: Attempt): Promise<AttemptEnd>;
  /** Whether what a step left earlier is still that, as far as can be seen from here. */
  isIntact(output: StepOutput): Promise<boolean>;
}

export interface RunningStep {
  readonly step: Step;
  readonly threads: number;
}
