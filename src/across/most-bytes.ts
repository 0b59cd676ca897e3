/** @file How large an output of a hospital may be, so that none fills the orchestrator's disk. Pure. */
import type { StepOutput } from '../workspace/index.ts';

/** Beyond twice the largest model that the hospital was given: evidence, an optimiser's state. */
const SPARE_BYTES = 64 * 2 ** 20;

/** @param models what the orchestrator gave: sizes that a hospital says itself bound nothing */
export const mostBytes = (models: readonly Pick<StepOutput, 'bytes'>[]): number =>
  SPARE_BYTES + 2 * Math.max(0, ...models.map(({ bytes }) => bytes));
