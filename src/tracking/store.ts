/**
 * @file What tracking writes to: experiments, runs, and their parameters and metrics, by the words of MLflow. Two implementations, held to
 * one contract (`store-contract.ts`): a server over its REST API, and a folder.
 */
import { FedradError } from '../base/index.ts';

/** By the words of MLflow. SCHEDULED is never written. */
export type RunStatus = 'RUNNING' | 'FINISHED' | 'FAILED' | 'KILLED';

export interface NewRun {
  readonly experimentId: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly tags: Readonly<Record<string, string>>;
}

export interface MetricPoint {
  readonly name: string;
  /** Finite. */
  readonly value: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly step: number;
}

export interface Entries {
  readonly metrics?: readonly MetricPoint[];
  /** A value that is there already cannot become another. */
  readonly params?: Readonly<Record<string, string>>;
}

export interface TrackingStore {
  /** Where it is, without credentials: what a message says. */
  readonly where: string;
  /** The experiment of this name; makes it where there is none. */
  experiment(name: string): Promise<string>;
  /** Starts a run and gives its id. */
  startRun(run: NewRun): Promise<string>;
  /** Any number of entries, in order. What was sent twice may be there twice. */
  log(runId: string, entries: Entries): Promise<void>;
  /** @param endedAt milliseconds since 1970; none for a run that goes on */
  setStatus(runId: string, status: RunStatus, endedAt?: number): Promise<void>;
}

/** The store is there and will not take this: trying again would give the same, other entries may be taken. */
export class Refused extends FedradError {}

/** An id of a run, as MLflow allows it; checked where one comes from outside, since it becomes a part of paths. */
export const RUN_ID = /^[A-Za-z0-9][\w-]{0,255}$/;
