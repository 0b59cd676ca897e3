/** @file The state of a run: a fold over its events, so that a stored run can be shown by any later code. Pure. */
import { fail } from '../base/index.ts';
import type { RunEvent, StepOutput, SubmittedEvent } from './run-event.ts';

/**
 * WAITING: a step cannot start or go on because its compute is away. DEGRADED: it goes on without a step that was lost, such as a
 * hospital's update when fewer are needed.
 */
export type RunStatus = 'QUEUED' | 'WAITING' | 'RUNNING' | 'DEGRADED' | 'COMPLETED' | 'FAILED' | 'CANCELED';

/** One try at a step. `interrupted`: the process that ran it ended without a word about it. */
export type StepAttempt = { readonly attempt: number; readonly threads: number; readonly startedAt: string } & (
  | { readonly status: 'running' }
  | { readonly status: 'interrupted' }
  | {
      readonly status: 'completed';
      readonly finishedAt: string;
      readonly outputs: Readonly<Record<string, StepOutput>>;
      readonly seconds: number;
      readonly cpuSeconds: number;
    }
  | {
      readonly status: 'failed';
      readonly finishedAt: string;
      readonly error: string;
      readonly logTail: readonly string[];
    }
);

export interface Metric {
  readonly at: string;
  readonly name: string;
  readonly value: number;
  readonly iteration?: number;
}

export interface StepState {
  /** In order; the last one tells how the step stands. */
  readonly attempts: readonly StepAttempt[];
  /** Of the attempt that completed, by name; empty before. */
  readonly outputs: Readonly<Record<string, StepOutput>>;
  /** Of the last attempt, in the order reported. */
  readonly metrics: readonly Metric[];
  /** Why it cannot go on at the moment. */
  readonly waiting?: string;
  /** It failed for good. */
  readonly lost?: true;
}

export interface RunState {
  readonly experiment: string;
  readonly pipeline: string;
  readonly workspace: string;
  readonly graphHash: string;
  readonly submittedAt: string;
  readonly status: RunStatus;
  /** Why the run ended as it did, if a reason was recorded. */
  readonly reason?: string;
  /** The latest start; absent while queued. */
  readonly started?: Omit<Extract<RunEvent, { type: 'started' }>, 'type'>;
  readonly finishedAt?: string;
  /** Who asked the run to stop. */
  readonly cancelRequestedBy?: string;
  /** In the order of their first start. */
  readonly steps: ReadonlyMap<string, StepState>;
}

/** The state of a run after these events. @throws FedradError unless they begin with `submitted` */
export function foldRun(events: readonly RunEvent[]): RunState {
  const [first, ...rest] = events;
  if (first?.type !== 'submitted') {
    return fail('run history', `expected a run to begin with "submitted", got ${first?.type ?? 'nothing'}`);
  }
  return withLiveStatus(rest.reduce(applyEvent, initialState(first)));
}

/** What a running run waits for or goes on without, as its status and reason. */
function withLiveStatus(state: RunState): RunState {
  if (state.status !== 'RUNNING') return state;
  const steps = [...state.steps];
  const waiting = steps.filter(([, step]) => step.waiting !== undefined);
  if (waiting.length > 0) {
    return { ...state, status: 'WAITING', reason: waiting.map(([id, step]) => `${id}: ${step.waiting}`).join('; ') };
  }
  const lost = steps.filter(([, step]) => step.lost);
  if (lost.length === 0) return state;
  const errors = lost.map(([id, { attempts }]) => {
    const last = attempts.at(-1);
    return `${id}: ${last?.status === 'failed' ? last.error : 'lost'}`;
  });
  return { ...state, status: 'DEGRADED', reason: errors.join('; ') };
}

const initialState = ({ experiment, pipeline, workspace, graphHash, at }: SubmittedEvent): RunState => ({
  experiment,
  pipeline,
  workspace,
  graphHash,
  submittedAt: at,
  status: 'QUEUED',
  steps: new Map(),
});

const NEW_STEP: StepState = { attempts: [], outputs: {}, metrics: [] };

function applyEvent(state: RunState, event: RunEvent): RunState {
  switch (event.type) {
    case 'submitted':
      return state;
    case 'started': {
      const { type: _type, ...started } = event;
      const { reason: _reason, finishedAt: _finishedAt, cancelRequestedBy: _by, ...again } = state;
      // After an end everything that was lost is tried again; after a crash it stays lost.
      const forgetLost = state.finishedAt !== undefined;
      return { ...again, status: 'RUNNING', started, steps: interruptRunning(state.steps, forgetLost) };
    }
    case 'cancel-requested':
      return { ...state, cancelRequestedBy: event.by };
    case 'finished':
      return {
        ...state,
        status: event.status,
        ...(event.reason === undefined ? {} : { reason: event.reason }),
        finishedAt: event.at,
        steps: interruptRunning(state.steps),
      };
    default:
      return { ...state, steps: new Map(state.steps).set(event.step, applyStepEvent(state.steps, event)) };
  }
}

type StepEvent = Extract<RunEvent, { readonly step: string }>;

function applyStepEvent(steps: ReadonlyMap<string, StepState>, event: StepEvent): StepState {
  const known = steps.get(event.step) ?? NEW_STEP;
  if (event.type === 'metric') {
    const { type: _type, step: _step, ...metric } = event;
    return { ...known, metrics: [...known.metrics, metric] };
  }
  const { waiting: _waiting, lost: _lost, ...state } = known;
  switch (event.type) {
    case 'step-waiting':
      return event.reason === undefined ? state : { ...state, waiting: event.reason };
    case 'step-started': {
      const { attempt, threads, at: startedAt } = event;
      return {
        ...state,
        attempts: [...state.attempts, { status: 'running', attempt, threads, startedAt }],
        metrics: [],
      };
    }
    case 'step-finished': {
      const { outputs, seconds, cpuSeconds, at: finishedAt } = event;
      const attempts = endAttempt(state.attempts, event.attempt, {
        status: 'completed',
        finishedAt,
        outputs,
        seconds,
        cpuSeconds,
      });
      return { ...state, attempts, outputs };
    }
    case 'step-failed': {
      const { error, logTail, at: finishedAt } = event;
      return {
        ...state,
        attempts: endAttempt(state.attempts, event.attempt, { status: 'failed', finishedAt, error, logTail }),
        ...(event.lost ? { lost: true as const } : {}),
      };
    }
  }
}

type AttemptEnd =
  | Omit<Extract<StepAttempt, { status: 'completed' }>, 'attempt' | 'threads' | 'startedAt'>
  | Omit<Extract<StepAttempt, { status: 'failed' }>, 'attempt' | 'threads' | 'startedAt'>;

const endAttempt = (attempts: readonly StepAttempt[], number: number, end: AttemptEnd): readonly StepAttempt[] =>
  attempts.map((each) => {
    const { attempt, threads, startedAt } = each;
    return attempt === number && each.status === 'running' ? { attempt, threads, startedAt, ...end } : each;
  });

const interruptRunning = (steps: ReadonlyMap<string, StepState>, forgetLost = false): ReadonlyMap<string, StepState> =>
  new Map(
    [...steps].map(([name, state]) => {
      const attempts = state.attempts.map((each) =>
        each.status === 'running' ? { ...each, status: 'interrupted' as const } : each,
      );
      const { waiting: _waiting, lost, ...rest } = state;
      return [name, { ...rest, attempts, ...(lost && !forgetLost ? { lost } : {}) }];
    }),
  );
