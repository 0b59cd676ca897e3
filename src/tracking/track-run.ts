/**
 * @file Keeps a run in MLflow while it goes on, beside the run: nothing that goes wrong here reaches it. The first problem is said, once;
 * then it is tried again, less and less often, and last when the run has ended.
 */
import { messageOf } from '../base/index.ts';
import type { RunHistory } from '../workspace/index.ts';
import { type Mirror, type MirrorOptions, mirror, newMirrorState, readMirrorState } from './mirror-run.ts';
import { openTracking, type TrackingOptions } from './open-tracking.ts';
import type { Refused } from './store.ts';
import { placeText, type TrackingPlace } from './tracking-uri.ts';

export type RunToTrack = Pick<MirrorOptions, 'runId' | 'steps' | 'stateFile'> & {
  readonly place: TrackingPlace;
  readonly history: Pick<RunHistory, 'events'>;
  /** For the credentials. */
  readonly environment: TrackingOptions['environment'];
  readonly now: () => Date;
};

const INTERVAL_MS = 2_000;
const MAX_PAUSE_MS = 60_000;
/** What is left to log when the run has ended gets so long: less than who cancels the run waits for it to be let go. */
const LAST_MS = 10_000;

export interface RunTracking {
  /** Logs what is left, for at most ten seconds. Never throws. */
  close(ended: 'ended' | 'interrupted'): Promise<void>;
}

/** Follows a run that this process runs. Never throws. @param warn is called at most once */
export function trackRun(run: RunToTrack, warn: (text: string) => void): RunTracking {
  const stop = new AbortController();
  let [pauseMs, isWarned] = [INTERVAL_MS, false];
  let timer: NodeJS.Timeout | undefined;
  let following: Mirror | undefined;
  const problem = (error: unknown): void => {
    if (isWarned) return;
    isWarned = true;
    const next = `fedrad run track ${run.runId}`;
    warn(
      `tracking: ${messageOf(error)}; the run is not affected. What is missing there is logged later, or by ${next}`,
    );
  };
  const catchUp = async (): Promise<void> => {
    try {
      following ??= await openMirror(run, stop.signal, problem);
      await following.catchUp();
      pauseMs = INTERVAL_MS;
    } catch (error) {
      problem(error);
      pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
    }
  };
  let current: Promise<void> = Promise.resolve();
  const schedule = (ms: number): void => {
    timer = setTimeout(() => {
      current = catchUp().then(() => {
        if (timer !== undefined) schedule(pauseMs);
      });
    }, ms);
    timer.unref();
  };
  schedule(0);
  return {
    close: async (ended) => {
      clearTimeout(timer);
      timer = undefined;
      const last = setTimeout(() => stop.abort(new Error(`not all was logged within ${LAST_MS / 1000} s`)), LAST_MS);
      await current;
      await catchUp();
      if (ended === 'interrupted' && following?.isComplete())
        await following.interrupt(run.now().getTime()).catch(problem);
      clearTimeout(last);
    },
  };
}

/**
 * Logs what of a run is not logged yet, and gives where. For a run that nobody runs.
 *
 * @throws FedradError where the store cannot be reached
 */
export async function logRun(run: RunToTrack, onRefused: (error: Refused) => void): Promise<string> {
  const following = await openMirror(run, new AbortController().signal, onRefused);
  await following.catchUp();
  return placeText(run.place);
}

async function openMirror(run: RunToTrack, signal: AbortSignal, onRefused: (error: Refused) => void): Promise<Mirror> {
  const { place, history, runId, steps, stateFile, environment, now } = run;
  const text = placeText(place);
  const before = await readMirrorState(stateFile);
  const store = openTracking(place, {
    signal,
    now: () => now().getTime(),
    ...(environment === undefined ? {} : { environment }),
  });
  const state = before?.place === text ? before : newMirrorState(text);
  return mirror({ store, history, runId, steps, stateFile, state, onRefused });
}

/** Where a run was tracked before, as a tracking URI; undefined where it never was. */
export const trackedPlace = async (stateFile: string): Promise<string | undefined> =>
  (await readMirrorState(stateFile))?.place;
