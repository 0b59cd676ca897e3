/** @file Names of runs: easy to say and to type, `calm_lung_7f3k2q`. */
import { randomInt } from 'node:crypto';
import { fail } from '../base/index.ts';

const MOODS =
  'amber brave bright busy calm clear cool dapper eager fair gentle happy jolly keen kind lively lucid mellow merry mild neat nice noble patient plucky polite proud quiet ready serene silent smart steady strong sunny swift tidy warm wise witty'.split(
    ' ',
  );
const THINGS =
  'airway alveolus apex artery atlas bronchus carina clavicle cortex costa diaphragm disc fissure heart hilum humerus joint larynx lobe lung marrow nerve pleura pulse radius rib scapula septum sinus spine sternum tendon thorax trachea ulna vein'.split(
    ' ',
  );
/** Without letters and digits that look alike. */
const SYMBOLS = '0123456789abcdefghjkmnpqrstvwxyz';

/** A new name. `integerBelow` is the source of randomness (default: the system's). */
export function newRunId(integerBelow: (below: number) => number = randomInt): string {
  const pick = <T>(from: ArrayLike<T>): T => from[integerBelow(from.length)]!;
  const tail = Array.from({ length: 6 }, () => pick(SYMBOLS)).join('');
  return `${pick(MOODS)}_${pick(THINGS)}_${tail}`;
}

const NEW_RUN_ID = new RegExp(`^[a-z]+_[a-z]+_[${SYMBOLS}]{6}$`);

/** Whether a name has the form that {@link newRunId} gives. */
export const isNewRunId = (runId: string): boolean => NEW_RUN_ID.test(runId);

/** Throws unless the text can be a run's name; names become file names, so nothing else may pass. */
export function checkRunId(runId: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,63}$/.test(runId)) return runId;
  return fail('run', `expected a name such as calm_lung_7f3k2q, got ${JSON.stringify(runId)}`, 'fedrad run list');
}
