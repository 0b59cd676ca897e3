/** @file training_parameters of the pneumonia pipeline: the Azure ML example's keys, then fedrad's own with their defaults. */
import { z } from 'zod';
import {
  augmentationSchema,
  classWeightsSchema,
  layersSchema,
  NETWORKS,
  type Network,
  NORMALISATION,
  networkSchema,
  type Optimiser,
  optimiserSchema,
  pneumoniaNetwork,
  type Schedule,
  scheduleSchema,
  sgd,
} from '../engine/index.ts';
import { thresholdRuleSchema } from '../reports/index.ts';
import { notBuilt } from './check-config.ts';
import { RECIPES, type RecipeName, withRecipe } from './recipes.ts';

const channelCount = z.int().min(8).max(512).multipleOf(8);

type NetworkName = keyof typeof NETWORKS;
const networkNameSchema = z.enum(Object.keys(NETWORKS) as [NetworkName, ...NetworkName[]]);

const fields = z.strictObject({
  /** Rounds: train in every silo, then aggregate. */
  num_of_iterations: z.int().min(1).max(1000).default(2),
  /** Passes over a silo's training images in one iteration. */
  epochs: z.int().min(1).max(1000).default(5),
  lr: z.number().positive().max(10).default(0.01),
  /** Images in one step of gradient descent. */
  batch_size: z.int().min(1).max(512).default(32),
  dp: z
    .boolean()
    .default(false)
    .refine(
      (dp) => !dp,
      notBuilt('differential privacy (dp: true)', 'set dp: false; training without it gives no privacy guarantee'),
    ),
  dp_target_epsilon: z.number().positive().default(50),
  dp_target_delta: z.number().positive().max(1).default(1e-5),
  dp_max_grad_norm: z.number().positive().default(1),
  dp_noise_multiplier: z.number().nonnegative().optional(),
  /** Defaults of the keys below: the Azure ML example's training, or the recommended one. */
  recipe: z.enum(Object.keys(RECIPES) as [RecipeName, ...RecipeName[]]).default('seed'),
  /** Seed of everything random: initial model, order of images, dropout, bootstrap. */
  seed: z.int().nonnegative().default(31415),
  /** Edge of the square images in pixels, a multiple of 8. */
  image_size: z.int().min(16).max(1024).multipleOf(8).default(224),
  /** A network's name, or its layers (src/engine/layers.ts); the last one must be linear with 2 outputs. */
  network: z
    .union([networkNameSchema, z.strictObject({ layers: layersSchema })], {
      error: `expected ${networkNameSchema.options.join(', ')}, or an object with layers`,
    })
    .default('pneumonia'),
  /** Of the pneumonia network: output channels of its convolutions, multiples of 8; default 32, 64, 128. Each halves the image. */
  channels: z.array(channelCount).min(1).max(6).optional(),
  /** Of the pneumonia network: units of the hidden dense layer, a multiple of 32; default 256. */
  hidden: z.int().min(32).max(4096).multipleOf(32).optional(),
  /** `sgd`, `adam`, `adamw`, or an object with its kind and options. Its state starts anew in each iteration, as in the example. */
  optimizer: z
    .union([z.enum(['sgd', 'adam', 'adamw']), optimiserSchema], {
      error: 'expected sgd, adam, adamw, or an object with its kind',
    })
    .default('sgd'),
  /** Momentum of SGD, default 0.9. */
  momentum: z.number().min(0).lt(1).optional(),
  /** `constant`, `cosine`, or an object with its kind and options; over the epochs of all iterations. */
  lr_schedule: z
    .union([z.enum(['constant', 'cosine']), scheduleSchema], {
      error: 'expected constant, cosine, or an object with its kind: constant, step or cosine',
    })
    .default('constant'),
  /** How much training images may be changed in each epoch (src/engine/augment.ts); by default not at all. */
  augmentation: z
    .union([z.literal('none'), augmentationSchema], {
      error: `expected none, or an object with ${Object.keys(augmentationSchema.shape).join(', ')}`,
    })
    .default('none'),
  /** In the loss: `none`, `balanced` by each silo's own labels, or [NORMAL, PNEUMONIA]. */
  class_weights: classWeightsSchema.default('none'),
  /** Equalises each image's histogram before the network sees it, a margin of this share on each side not counted. By default not. */
  equalise: z.number().min(0).max(0.4).optional(),
  /** `examples`: silos count by their training images. `mean`: all the same, as in the example. */
  aggregation: z.enum(['examples', 'mean']).default('examples'),
  strategy: z.enum(['fedavg', 'fedavgm']).default('fedavg'),
  server_lr: z.number().positive().default(1),
  server_momentum: z.number().min(0).lt(1).default(0.9),
  /** FedProx: pull of a silo's weights towards the global model (Li et al., MLSys 2020); 0 is off. */
  proximal_mu: z.number().nonnegative().default(0),
  /** An iteration goes on with this many silos; by default all are needed. */
  min_silos: z.int().positive().optional(),
  /** How long a round waits for a hospital that is elsewhere. */
  round_deadline_minutes: z.number().positive().optional(),
  /** An update after the deadline: `keep` counts it as long as fewer than min_silos are there. */
  late_updates: z.enum(['drop', 'keep']).optional(),
  /** A hospital with so many failures in a row gets no more steps. */
  suspend_after: z.int().positive().optional(),
  /** A score from here on counts as pneumonia: a number, or how it is chosen on the pooled validation images. */
  threshold: thresholdRuleSchema.default(0.5),
  /** Ends the training when `patience` iterations brought no better model on the pooled validation images. */
  early_stopping: z
    .strictObject({ patience: z.int().min(1).max(1000) }, 'expected an object like {patience: 3}')
    .optional(),
  /** What to train besides, for comparison: each hospital alone; all data pooled (one machine only: it breaks the silos). */
  baselines: z.array(z.enum(['alone', 'pooled']), 'expected a list like [alone, pooled]').default([]),
});

export const trainingSchema = z.preprocess(
  withRecipe,
  fields.superRefine((training, context) => {
    const refuse = (path: readonly PropertyKey[], message: string, remedy: string): void =>
      void context.addIssue({ code: 'custom', path: [...path], message, params: { remedy } });
    for (const key of ['channels', 'hidden'] as const) {
      if (training[key] !== undefined && training.network !== 'pneumonia')
        refuse([key], 'it is of the pneumonia network', 'remove it, or set network: pneumonia');
    }
    if (training.momentum !== undefined && training.optimizer !== 'sgd')
      refuse(['momentum'], 'it goes with the word sgd as optimizer only', 'put it into the optimizer, or remove it');
    const length = training.num_of_iterations * training.epochs;
    const { warmup_epochs: warmup } = scheduleOf(training);
    if (warmup >= length)
      refuse(
        ['lr_schedule', 'warmup_epochs'],
        `the warm-up takes ${warmup} of ${length} epochs (num_of_iterations x epochs): lr would never be reached`,
        `take fewer than ${length}`,
      );
    try {
      networkOf(training);
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw error;
      const { path, message } = error.issues[0]!;
      if (typeof training.network === 'string')
        refuse(['image_size'], message, 'take larger images or another network');
      else refuse(['network', ...path], message, 'change the layers');
    }
  }),
);

export type Training = z.infer<typeof fields>;

/** The network that a config asks for, with what it does to its input. Throws ZodError where it does not fit the image size. */
export function networkOf(training: Training): Network {
  const network = layersOf(training);
  const { equalise } = training;
  return equalise === undefined ? network : { ...network, normalisation: { ...network.normalisation, equalise } };
}

function layersOf({ network, image_size: imageSize, channels, hidden }: Training): Network {
  if (network === 'pneumonia')
    return pneumoniaNetwork({ imageSize, ...(channels ? { channels } : {}), ...(hidden ? { hidden } : {}) });
  if (typeof network === 'string') return NETWORKS[network]({ imageSize });
  return networkSchema.parse({ imageSize, classes: 2, normalisation: NORMALISATION, layers: network.layers });
}

/** `custom` where the config lists layers. */
export const networkName = ({ network }: Training): string => (typeof network === 'string' ? network : 'custom');

export const optimiserOf = ({ optimizer, momentum }: Training): Optimiser =>
  optimizer === 'sgd'
    ? sgd(momentum)
    : optimiserSchema.parse(typeof optimizer === 'string' ? { kind: optimizer } : optimizer);

export const scheduleOf = ({ lr_schedule: schedule }: Training): Schedule =>
  scheduleSchema.parse(typeof schedule === 'string' ? { kind: schedule } : schedule);
