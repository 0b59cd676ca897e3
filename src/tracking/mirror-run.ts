/**
 * @file A run of fedrad in MLflow: a parent run, and in it one run for each attempt at a step, with the step's parameters and metrics. When
 * a step has completed, its metrics are the parent's too, as in the Azure ML example; so are the parameters that all steps share.
 *
 * It copies the run's event log, which is written whatever MLflow does. How far it has come is kept beside the run (`tracking.json`): a run
 * that is resumed, or whose server was away, goes on where it was. What was under way when the process died may be there twice.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { codeOf, type RecordedEvent, type RunHistory, toStoredJson, writeFileAtomic } from '../workspace/index.ts';
import { trackedName, trackedParams } from './names.ts';
import { type MetricPoint, Refused, type RunStatus, type TrackingStore } from './store.ts';

/** What a graph knows of a step. */
export interface StepFacts {
  readonly component: string;
  readonly compute: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface MirrorOptions {
  /** Opened where `state.place` says. */
  readonly store: TrackingStore;
  readonly history: Pick<RunHistory, 'events'>;
  readonly runId: string;
  readonly steps: ReadonlyMap<string, StepFacts>;
  readonly stateFile: string;
  readonly state: MirrorState;
  /** What the store refused, and the run goes on without. */
  readonly onRefused: (error: Refused) => void;
}

const mirrorStateSchema = z.strictObject({
  /** Where the run is tracked, without credentials. */
  place: z.string(),
  /** The last event that is there. */
  after: z.int().nonnegative(),
  experiment: z.string().exactOptional(),
  parent: z.string().exactOptional(),
  /** Attempts that have not ended, by step: the run there, and the event that began it. */
  running: z.record(z.string(), z.strictObject({ run: z.string(), since: z.int() })),
});
export type MirrorState = z.infer<typeof mirrorStateSchema>;

export const newMirrorState = (place: string): MirrorState => ({ place, after: 0, running: {} });

/** What an earlier process left; undefined where the run was never tracked. */
export async function readMirrorState(stateFile: string): Promise<MirrorState | undefined> {
  const text = await readFile(stateFile, 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const checked = mirrorStateSchema.safeParse(parsed(text));
  return checked.success
    ? checked.data
    : fail(stateFile, 'it is damaged', 'remove it: the run is then logged anew, beside what is there');
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

export interface Mirror {
  /** Copies what has happened since. @throws FedradError where the store cannot be reached; the next call goes on from there */
  catchUp(): Promise<void>;
  /** Whether all that has happened is there. */
  isComplete(): boolean;
  /** The run was interrupted, which no event tells: nothing in it runs until it is resumed. Only after a whole {@link catchUp}. */
  interrupt(at: number): Promise<void>;
}

const PARENT_STATUS = { COMPLETED: 'FINISHED', FAILED: 'FAILED', CANCELED: 'KILLED' } as const;

export function mirror(options: MirrorOptions): Mirror {
  const { store, history, runId, steps, stateFile, onRefused } = options;
  const state: { -readonly [Key in keyof MirrorState]: MirrorState[Key] } = structuredClone(options.state);
  /** Metrics of runs there that are not sent yet. */
  let waiting = new Map<string, MetricPoint[]>();
  const save = (): Promise<void> => writeFileAtomic(stateFile, toStoredJson(state));

  /** One entry that the store does not take must not keep all others away. */
  const unlessRefused = async (action: () => Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      onRefused(error);
    }
  };
  const send = async (): Promise<void> => {
    for (const [run, metrics] of waiting) await unlessRefused(() => store.log(run, { metrics }));
    waiting = new Map();
  };
  const end = async (run: string | undefined, status: RunStatus, at?: number): Promise<void> => {
    if (run !== undefined) await unlessRefused(() => store.setStatus(run, status, at));
  };
  const killRunning = async (at: number): Promise<void> => {
    for (const { run } of Object.values(state.running)) await end(run, 'KILLED', at);
    state.running = {};
  };

  const begin = async (event: RecordedEvent & { type: 'submitted' }): Promise<void> => {
    // Where an earlier try got no further.
    if (state.parent === undefined) {
      state.experiment = await store.experiment(event.experiment);
      state.parent = await store.startRun({
        experimentId: state.experiment,
        name: runId,
        startedAt: Date.parse(event.at),
        tags: {
          'mlflow.source.name': 'fedrad',
          'mlflow.source.type': 'LOCAL',
          'fedrad.run': runId,
          'fedrad.pipeline': event.pipeline,
          'fedrad.workspace': event.workspace,
          'fedrad.graph': event.graphHash,
        },
      });
      await save();
    }
    const { parent } = state;
    await unlessRefused(() => store.log(parent, { params: trackedParams(sharedParameters([...steps.values()])) }));
  };

  const beginStep = async (event: RecordedEvent & { type: 'step-started' }): Promise<void> => {
    const { step } = event;
    const before = state.running[step];
    if (before?.since !== event.seq) {
      // It began before, and its process ended without a word.
      await end(before?.run, 'KILLED', Date.parse(event.at));
      state.running[step] = { run: await startAttempt(event), since: event.seq };
      await save();
    }
    const { run } = state.running[step]!;
    await unlessRefused(() => store.log(run, { params: trackedParams(steps.get(step)?.parameters ?? {}) }));
  };

  const startAttempt = ({ step, attempt, at }: RecordedEvent & { type: 'step-started' }): Promise<string> => {
    const facts = steps.get(step);
    return store.startRun({
      experimentId: state.experiment!,
      name: attempt === 1 ? step : `${step} (attempt ${attempt})`,
      startedAt: Date.parse(at),
      tags: {
        'mlflow.parentRunId': state.parent!,
        'mlflow.source.name': 'fedrad',
        'mlflow.source.type': 'LOCAL',
        'fedrad.run': runId,
        'fedrad.step': step,
        'fedrad.attempt': String(attempt),
        ...(facts === undefined ? {} : { 'fedrad.component': facts.component, 'fedrad.compute': facts.compute }),
      },
    });
  };

  const endStep = async (event: RecordedEvent & { step: string }, status: RunStatus): Promise<void> => {
    const running = state.running[event.step];
    if (running === undefined) return;
    const { parent } = state;
    if (status === 'FINISHED' && parent !== undefined) {
      const metrics = history.events(runId, running.since).flatMap((each) => {
        const own = each.seq < event.seq && each.type === 'metric' && each.step === event.step;
        return own ? [pointOf(each)] : [];
      });
      await unlessRefused(() => store.log(parent, { metrics }));
    }
    await end(running.run, status, Date.parse(event.at));
    delete state.running[event.step];
  };

  const copy = async (event: RecordedEvent): Promise<void> => {
    switch (event.type) {
      case 'submitted':
        return begin(event);
      case 'started':
        await killRunning(Date.parse(event.at));
        return end(state.parent, 'RUNNING');
      case 'step-started':
        return beginStep(event);
      case 'step-finished':
        return endStep(event, 'FINISHED');
      case 'step-failed':
        return endStep(event, 'FAILED');
      case 'finished':
        await killRunning(Date.parse(event.at));
        return end(state.parent, PARENT_STATUS[event.status], Date.parse(event.at));
    }
  };

  return {
    catchUp: async () => {
      // Of a call that failed: they are read again.
      waiting = new Map();
      let read = state.after;
      const sendTo = async (seq: number): Promise<void> => {
        if (seq === state.after) return;
        await send();
        state.after = seq;
        await save();
      };
      for (const event of history.events(runId, state.after)) {
        if (event.type === 'metric') {
          const run = state.running[event.step]?.run;
          if (run !== undefined)
            waiting
              .set(run, waiting.get(run) ?? [])
              .get(run)!
              .push(pointOf(event));
        } else {
          await sendTo(read);
          await copy(event);
          state.after = event.seq;
          await save();
        }
        read = event.seq;
      }
      await sendTo(read);
    },
    isComplete: () => history.events(runId, state.after).length === 0,
    interrupt: async (at) => {
      await killRunning(at);
      await end(state.parent, 'KILLED', at);
      await save();
    },
  };
}

/** The time of an event that has no iteration is all that orders it; MLflow's step is then 0. */
const pointOf = ({ name, value, at, iteration }: RecordedEvent & { type: 'metric' }): MetricPoint => ({
  name: trackedName(name),
  value,
  at: Date.parse(at),
  step: iteration ?? 0,
});

/** Those of the same value in every step that has them, of at least two. */
function sharedParameters(steps: readonly StepFacts[]): Record<string, unknown> {
  const all = steps.flatMap(({ parameters }) => Object.entries(parameters));
  const shared = [...Map.groupBy(all, ([name]) => name)].flatMap(([name, [first, ...others]]) => {
    const one = others.length > 0 && others.every(([, value]) => same(value, first![1]));
    return one ? [[name, first![1]] as const] : [];
  });
  return Object.fromEntries(shared);
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
