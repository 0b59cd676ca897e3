/** @file A model that is about to judge images: its file read, the threshold it is used with, and what must be said of it. */
import type { Command } from 'commander';
import { type ModelFile, readModel, readModelCard } from '../components/index.ts';
import { DEFAULT_THRESHOLD } from '../reports/index.ts';
import { findModel, type ModelChoice } from './find-model.ts';

export interface ModelInUse {
  readonly model: ModelFile;
  readonly threshold: number;
  readonly thresholdFrom: 'option' | 'model' | 'default';
  /** The card beside the model says that it learned from phantoms. */
  readonly synthetic: boolean;
}

/** Finds and reads the model that the options name. Throws FedradError where there is none. */
export async function useModel(
  options: ModelChoice & { readonly threshold?: number },
  command: Command,
): Promise<ModelInUse> {
  const { file } = await findModel(options, command);
  const model = await readModel(file);
  // A damaged card is for `model card` to tell; the model itself is whole.
  const card = await readModelCard(file).catch(() => undefined);
  const synthetic = card?.synthetic ?? false;
  if (options.threshold !== undefined)
    return { model, synthetic, threshold: options.threshold, thresholdFrom: 'option' };
  if (model.threshold !== undefined) return { model, synthetic, threshold: model.threshold, thresholdFrom: 'model' };
  return { model, synthetic, threshold: DEFAULT_THRESHOLD, thresholdFrom: 'default' };
}

const ORIGINS = { option: '--threshold', model: "the model's own threshold", default: 'the default threshold' };

export const describeThreshold = ({ threshold, thresholdFrom }: ModelInUse): string =>
  `A probability from ${Number(threshold.toPrecision(6))} on counts as PNEUMONIA (${ORIGINS[thresholdFrom]}).`;

/** Says on standard error what a user must know of this model. */
export function warnOfModel({ synthetic }: ModelInUse): void {
  if (synthetic)
    console.error('warning: this model was trained on synthetic images (phantoms): it says nothing about patients');
}
