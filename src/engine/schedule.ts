/** @file How the learning rate goes over the epochs of a whole training: a factor, as a pure function of the epoch. */
import type { Schedule } from './optimiser.ts';

/**
 * The factor on the learning rate. Warm-up rises linearly from 0, as torch's LinearLR; then the schedule begins at its own epoch 0,
 * as with torch's SequentialLR: StepLR, or CosineAnnealingLR over the epochs that are left.
 *
 * @param epoch from 0, of all iterations of a federation, with the share of this epoch's steps that are done: 3.5 is the
 * middle of the fourth.
 */
export function rateFactor(schedule: Schedule, epoch: number, totalEpochs: number): number {
  const { warmup_epochs: warmup } = schedule;
  if (epoch < warmup) return epoch / warmup;
  const since = epoch - warmup;
  if (schedule.kind === 'constant') return 1;
  if (schedule.kind === 'step') return schedule.gamma ** Math.floor(since / schedule.step_size);
  const { min_factor: least } = schedule;
  const share = Math.min(1, since / (totalEpochs - warmup));
  return least + ((1 - least) * (1 + Math.cos(Math.PI * share))) / 2;
}
