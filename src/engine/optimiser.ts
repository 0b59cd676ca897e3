/** @file Optimisers and learning-rate schedules as data; names, options and defaults are those of torch.optim. */
import { z } from 'zod';

const beta = z.number().min(0).lt(1);
/** In single precision a much smaller one is 0, and 0 / 0 is not a number. */
const epsilon = z.number().min(1e-12).max(1);
const weightDecay = z.number().min(0).max(1);

export const optimiserSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('sgd'),
    momentum: beta.default(0.9),
    nesterov: z.boolean().default(false),
    /** Added to the gradient as weight_decay * w. */
    weight_decay: weightDecay.default(0),
  }),
  /** Kingma and Ba, ICLR 2015; weight decay added to the gradient. */
  z.strictObject({
    kind: z.literal('adam'),
    betas: z.tuple([beta, beta]).default([0.9, 0.999]),
    eps: epsilon.default(1e-8),
    weight_decay: weightDecay.default(0),
  }),
  /** Loshchilov and Hutter, ICLR 2019; weight decay apart from the gradient: w *= 1 - lr * weight_decay. */
  z.strictObject({
    kind: z.literal('adamw'),
    betas: z.tuple([beta, beta]).default([0.9, 0.999]),
    eps: epsilon.default(1e-8),
    weight_decay: weightDecay.default(0.01),
  }),
]);

export type Optimiser = z.infer<typeof optimiserSchema>;

/** SGD with momentum: what the Azure ML example trains with. */
export const sgd = (momentum = 0.9): Optimiser => ({ kind: 'sgd', momentum, nesterov: false, weight_decay: 0 });

const warmup = {
  /** Epochs in which the rate rises from 0, linearly by step; the schedule proper begins after them. */
  warmup_epochs: z.number().min(0).default(0),
};

export const scheduleSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), ...warmup }),
  /** Times gamma after every step_size epochs. */
  z.strictObject({
    kind: z.literal('step'),
    step_size: z.number().positive(),
    gamma: z.number().positive().max(1).default(0.1),
    ...warmup,
  }),
  /** Half a cosine from the rate to rate * min_factor over the epochs of all iterations (Loshchilov and Hutter, ICLR 2017, without restarts). */
  z.strictObject({ kind: z.literal('cosine'), min_factor: z.number().min(0).max(1).default(0), ...warmup }),
]);

export type Schedule = z.infer<typeof scheduleSchema>;
