/** @file What a backend is: it executes a submitted run's graph and tells what happens. */
import type { Graph, Step } from '../pipelines/index.ts';

/** How a run ended. An interrupted run can be resumed. */
export type Outcome =
  | { readonly status: 'COMPLETED' }
  | { readonly status: 'FAILED'; readonly reason: string }
  | { readonly status: 'CANCELED'; readonly reason: string }
  | { readonly status: 'INTERRUPTED' };

/** What a run tells while it goes on; for progress bars and logs, nothing depends on it. */
export type RunUpdate =
  | {
      readonly kind: 'run-started';
      readonly steps: number;
      readonly finished: number;
      readonly sandbox: string;
      readonly cores: number;
    }
  | { readonly kind: 'step-started'; readonly step: Step; readonly attempt: number }
  | {
      readonly kind: 'progress';
      readonly step: Step;
      readonly done: number;
      readonly total: number;
      readonly text: string;
    }
  | { readonly kind: 'step-waiting'; readonly step: Step; readonly reason?: string }
  | { readonly kind: 'step-finished'; readonly step: Step; readonly seconds: number }
  | { readonly kind: 'step-failed'; readonly step: Step; readonly error: string; readonly retryInMs?: number }
  | { readonly kind: 'step-skipped'; readonly step: Step; readonly because: string };

export interface Backend {
  /** Executes what is left of a run; returns when it has ended or `signal` stops it. */
  execute(
    runId: string,
    graph: Graph,
    options: { signal: AbortSignal; onUpdate: (update: RunUpdate) => void },
  ): Promise<Outcome>;
}
