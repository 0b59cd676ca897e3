/**
 * @file A step's own metrics and parameters in MLflow, from the step's process: where it runs on Azure ML, which names the server and the
 * run in the environment (MLFLOW_TRACKING_URI, MLFLOW_RUN_ID), or by hand.
 *
 * A bounded queue, emptied every few seconds; nothing that goes wrong here reaches the step. The first problem is said, once.
 */
import { messageOf } from '../base/index.ts';
import { trackedName, trackedParams } from './names.ts';
import { openTracking, type TrackingOptions } from './open-tracking.ts';
import { type MetricPoint, Refused, RUN_ID, type TrackingStore } from './store.ts';

export interface StepTracking {
  metric(name: string, value: number, iteration?: number): void;
  /** Sends what is left, for at most half a minute. */
  close(status: 'FINISHED' | 'FAILED'): Promise<void>;
}

export interface StepToTrack {
  readonly component: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  /** Called at most once. */
  readonly warn: (text: string) => void;
  /** For tests. */
  readonly wait?: TrackingOptions['wait'];
}

/** The history of a run takes as many of a step. */
const MAX_QUEUE = 10_000;
const FLUSH_MS = 2_000;
/** After a problem. */
const PAUSE_MS = 30_000;
const LAST_MS = 30_000;
const DEFAULT_EXPERIMENT = 'fedrad';

/** Follows a step; undefined where nothing says where to. Never throws. */
export function trackStep(step: StepToTrack): StepTracking | undefined {
  const { environment, now, parameters } = step;
  const uri = environment['MLFLOW_TRACKING_URI'];
  if (!uri) return undefined;
  const stop = new AbortController();
  const queue: MetricPoint[] = [];
  let dropped = 0;
  let isWarned = false;
  let target: Target | undefined;
  const problem = (text: string): void => {
    if (!isWarned) step.warn(`tracking: ${text}; the step goes on, and its log has all metrics`);
    isWarned = true;
  };

  /** Whether it came through. */
  const flush = async (): Promise<boolean> => {
    try {
      target ??= await openTarget(uri, step, stop.signal);
      if (!target.hasParams) await target.store.log(target.run, { params: trackedParams(parameters) }).catch(onRefused);
      target.hasParams = true;
      const metrics = queue.slice();
      if (metrics.length > 0) await target.store.log(target.run, { metrics }).catch(onRefused);
      queue.splice(0, metrics.length);
      return true;
    } catch (error) {
      problem(messageOf(error));
      return false;
    }
  };
  /** What the server does not take would keep all else away. */
  const onRefused = (error: unknown): void => {
    if (!(error instanceof Refused)) throw error;
    problem(error.message);
  };

  let current: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  const schedule = (ms: number): void => {
    timer = setTimeout(() => {
      current = flush().then((well) => {
        if (timer !== undefined) schedule(well ? FLUSH_MS : PAUSE_MS);
      });
    }, ms);
    timer.unref();
  };
  schedule(FLUSH_MS);

  return {
    metric: (name, value, iteration) => {
      if (!Number.isFinite(value) || queue.length >= MAX_QUEUE) dropped += 1;
      else queue.push({ name: trackedName(name), value, at: now(), step: iteration ?? 0 });
    },
    close: async (status) => {
      clearTimeout(timer);
      timer = undefined;
      const last = setTimeout(() => stop.abort(new Error(`not all was sent within ${LAST_MS / 1000} s`)), LAST_MS);
      await current;
      const well = await flush();
      if (well && target?.isOwn) {
        const { store, run } = target;
        await store.setStatus(run, status, now()).catch((error: unknown) => problem(messageOf(error)));
      }
      clearTimeout(last);
      if (dropped > 0) problem(`${dropped} metrics were no numbers, or too many to keep`);
    },
  };
}

interface Target {
  readonly store: TrackingStore;
  readonly run: string;
  /** Made here, so it is ended here; a run that the environment names is its owner's to end. */
  readonly isOwn: boolean;
  hasParams: boolean;
}

async function openTarget(uri: string, step: StepToTrack, signal: AbortSignal): Promise<Target> {
  const { environment, component, now, wait } = step;
  const store = openTracking(uri, { environment, signal, now, ...(wait === undefined ? {} : { wait }) });
  const given = environment['MLFLOW_RUN_ID'];
  if (given) {
    if (!RUN_ID.test(given)) throw new Error('MLFLOW_RUN_ID is no id of a run');
    return { store, run: given, isOwn: false, hasParams: false };
  }
  const experimentId =
    environment['MLFLOW_EXPERIMENT_ID'] ||
    (await store.experiment(environment['MLFLOW_EXPERIMENT_NAME'] || DEFAULT_EXPERIMENT));
  const run = await store.startRun({
    experimentId,
    name: component,
    startedAt: now(),
    tags: {
      'mlflow.source.name': 'fedrad',
      'mlflow.source.type': 'LOCAL',
      'fedrad.component': component,
    },
  });
  return { store, run, isOwn: true, hasParams: false };
}
