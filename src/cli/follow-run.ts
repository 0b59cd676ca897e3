/** @file Waits for a run that another process executes, and says what happens in it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome } from '../backends/index.ts';
import { foldRun, type RunEvent, type RunHistory } from '../workspace/index.ts';

const LOOK_MS = 500;
/** Nobody holds the run for so long: it will not go on by itself. */
const ABANDONED_MS = 60_000;

/** Follows the run to its end; Ctrl-C ends the waiting, not the run. INTERRUPTED: nobody runs it any more. */
export async function followRun(history: RunHistory, runId: string): Promise<Outcome> {
  let [seen, heldAt] = [0, performance.now()];
  for (;;) {
    for (const event of history.events(runId, seen)) {
      seen = event.seq;
      const line = lineOf(event);
      if (line !== undefined) process.stderr.write(`${line}\n`);
    }
    const { status, reason = '' } = foldRun(history.events(runId));
    if (status === 'COMPLETED') return { status };
    if (status === 'FAILED' || status === 'CANCELED') return { status, reason };
    if (history.isLocked(runId)) heldAt = performance.now();
    if (performance.now() - heldAt > ABANDONED_MS) return { status: 'INTERRUPTED' };
    await sleep(LOOK_MS);
  }
}

/** The event as a line for the user; undefined where it says nothing. */
export function lineOf(event: RunEvent): string | undefined {
  switch (event.type) {
    case 'step-started':
      return `started   ${event.step}${event.attempt > 1 ? ` (attempt ${event.attempt})` : ''}`;
    case 'step-waiting':
      return event.reason === undefined ? `goes on   ${event.step}` : `waiting   ${event.step}: ${event.reason}`;
    case 'step-finished':
      return `finished  ${event.step}  ${event.seconds.toFixed(1)} s`;
    case 'step-failed':
      return `failed    ${event.step}: ${event.error}${event.lost ? '' : '; trying again'}`;
    default:
      return undefined;
  }
}
