/**
 * @file What goes wrong, and when: a list of faults without end, drawn from a seed by counter-based random numbers, so that a seed names one
 * schedule for good. What a fault finds when its time comes (which step runs, which file is there) depends on the run.
 */
import { openRng } from '../../src/base/index.ts';

export const FAULT_KINDS = [
  /** kill -9, and started again after `forMs`. */
  'kill orchestrator',
  'kill agent',
  'kill nats-server',
  /** kill -9 of a step's own process; the agent stays. */
  'kill step',
  /** SIGSTOP for `forMs`. */
  'freeze orchestrator',
  'freeze agent',
  'freeze nats-server',
  /** For `forMs` nothing passes between a host and the network, and nobody is told. */
  'cut link',
  /** The link's connections are reset; forgotten by a firewall, which tells nobody; held up; slowed down; or far away for `forMs`. */
  'reset connections',
  'forget connections',
  'stall link',
  'slow link',
  'delay link',
  /** A file of a hospital's agent, half fetched if there is one, else fetched, loses its end or changes in a spot. */
  'cut file',
  'corrupt file',
  /** The hospital's disk is full to the last byte for `forMs`. */
  'fill disk',
  /** Work that is given out is given out again, the latest first. */
  'repeat work',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

export interface Fault {
  readonly number: number;
  readonly kind: FaultKind;
  /** Which hospital, where the kind is of one; the links' kinds also know the orchestrator's host, which is the last. */
  readonly host: number;
  /** After the one before, ms. */
  readonly afterMs: number;
  /** How long it lasts, ms. */
  readonly forMs: number;
  /** From 0 to below 1: which file or step, and where in it. */
  readonly which: number;
  readonly at: number;
}

/** Between two faults, ms: some come together, some leave time to recover. */
const GAP_MS = [0, 3000] as const;
const LASTS_MS = [100, 4000] as const;

/** Faults for so many hospitals. */
export function* schedule(seed: number, silos: number, kinds: readonly FaultKind[] = FAULT_KINDS): Generator<Fault> {
  for (let number = 1; ; number++) {
    const rng = openRng(seed, 'chaos', number);
    const between = ([low, high]: readonly [number, number]): number => low + rng.integer(high - low);
    const kind = kinds[rng.integer(kinds.length)]!;
    const hosts = /link|connections/.test(kind) ? silos + 1 : silos;
    yield {
      ...{ number, kind, host: rng.integer(hosts), afterMs: between(GAP_MS), forMs: between(LASTS_MS) },
      ...{ which: rng.uniform(), at: rng.uniform() },
    };
  }
}
