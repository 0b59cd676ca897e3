/** @file The numbers of one optimiser's step, as kernels/src/update.ts reads them. */
import type { Optimiser } from './optimiser.ts';

/** Floats of the settings block. */
export const SETTINGS_FLOATS = 16;

/** What changes from step to step. */
export interface StepNumbers {
  readonly learningRate: number;
  /** FedProx (Li et al., MLSys 2020): weight of the pull towards the anchor. */
  readonly proximalMu: number;
  /** 1 for the first step since the state was 0: Adam's correction of its moments depends on it. */
  readonly step: number;
}

/** Whether the optimiser keeps second moments besides the velocity. */
export const hasSecondMoments = ({ kind }: Optimiser): boolean => kind !== 'sgd';

/**
 * The settings of one step of torch.optim's SGD, Adam or AdamW: [0 for SGD with momentum and nothing else, rate, momentum, mu,
 * nesterov, weight decay in the gradient, factor on w, beta1, 1 - beta1, beta2, 1 - beta2, eps, 1 / sqrt(1 - beta2^t)]. Adam's rate
 * is learning rate / (1 - beta1^t).
 */
export function updateSettings(optimiser: Optimiser, { learningRate, proximalMu, step }: StepNumbers): Float32Array {
  const settings = new Float32Array(SETTINGS_FLOATS);
  const { weight_decay: decay } = optimiser;
  if (optimiser.kind === 'sgd') {
    const { momentum, nesterov } = optimiser;
    const plain = !nesterov && decay === 0;
    settings.set([plain ? 0 : 1, learningRate, momentum, proximalMu, nesterov ? 1 : 0, decay, 1]);
    return settings;
  }
  const [beta1, beta2] = optimiser.betas;
  const decoupled = optimiser.kind === 'adamw';
  settings.set([1, learningRate / (1 - beta1 ** step), 0, proximalMu, 0, decoupled ? 0 : decay]);
  settings.set([decoupled ? 1 - learningRate * decay : 1, beta1, 1 - beta1, beta2, 1 - beta2, optimiser.eps], 6);
  settings.set([1 / Math.sqrt(1 - beta2 ** step)], 12);
  return settings;
}
