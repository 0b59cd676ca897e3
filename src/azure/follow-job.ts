/** @file Looks at a run on Azure ML until it is over. Ctrl-C ends the looking, not the run. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FedradError } from '../base/index.ts';
import type { RunEvent, RunHistory, RunState } from '../workspace/index.ts';
import { type SyncOptions, syncAzureRun } from './azure-runs.ts';

export interface FollowOptions extends SyncOptions {
  /** Called with each event that was recorded meanwhile. */
  readonly onEvent: (event: RunEvent) => void;
  readonly signal: AbortSignal;
  /** Longest pause between two looks, in milliseconds; default 15000. */
  readonly lookMs?: number;
}

const FIRST_LOOK_MS = 1_000;
const LATER_LOOK_MS = 15_000;
/** Azure ML ends a job long before. */
const LONGEST_MS = 30 * 24 * 3_600_000;
/** Each of them was tried several times. */
const PROBLEMS_IN_A_ROW = 10;

/** The state of the run when it is over, or when `signal` ends the looking. @throws FedradError where Azure cannot be asked any more */
export async function followAzureRun(options: FollowOptions): Promise<RunState> {
  const { history, runId, signal, onEvent, onProblem, lookMs = LATER_LOOK_MS } = options;
  let seen = lastSeq(history, runId);
  let problems = 0;
  let pauseMs = Math.min(FIRST_LOOK_MS, lookMs);
  const end = performance.now() + LONGEST_MS;
  for (;;) {
    let state: RunState | undefined;
    try {
      state = await syncAzureRun(options);
      problems = 0;
    } catch (error) {
      problems += 1;
      // Signing in again is for the user; the run goes on without.
      const final = !(error instanceof FedradError) || /sign-in/.test(error.problem) || problems >= PROBLEMS_IN_A_ROW;
      if (final) throw error;
      onProblem(error);
    }
    for (const event of history.events(runId, seen)) {
      seen = event.seq;
      onEvent(event);
    }
    if (state && (state.finishedAt !== undefined || signal.aborted || performance.now() > end)) return state;
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
    pauseMs = Math.min(lookMs, pauseMs * 1.2);
  }
}

const lastSeq = (history: RunHistory, runId: string): number => history.events(runId).at(-1)?.seq ?? 0;
