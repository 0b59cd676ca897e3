/**
 * @file The table of components: what each step takes, gives and needs. The names of the training and aggregation inputs and
 * outputs are the Azure ML example's.
 */
import { z } from 'zod';
import {
  augmentationSchema,
  classWeightsSchema,
  networkSchema,
  optimiserSchema,
  scheduleSchema,
} from '../engine/index.ts';
import { partitionSchema } from '../radiographs/index.ts';
import type { ComponentSpec } from './component.ts';
import { trainingWordsSchema } from './evidence.ts';

const seed = z.int().nonnegative();
const sourceSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('kaggle'), baseUrl: z.url(), dataset: z.string() }),
  /** The folder or archive comes as the input `source`. With `own` it holds this silo's images alone, and the silo keeps them all. */
  z.strictObject({ kind: z.enum(['folder', 'zip']), own: z.literal(true).exactOptional() }),
  z.strictObject({ kind: z.literal('phantom'), imagesPerSilo: z.int().positive(), imageSize: z.int().positive() }),
]);

export const uploadParameters = z.strictObject({
  source: sourceSchema,
  silo_index: z.int().nonnegative(),
  silo_count: z.int().positive(),
  partition: partitionSchema,
  seed,
});

export const prepareParameters = z.strictObject({ image_size: z.int().positive() });

export const initialModelParameters = z.strictObject({ network: networkSchema, seed });

export const trainParameters = z.strictObject({
  /** Prefix of this silo's metrics, and part of the key of its random numbers. */
  metrics_prefix: z.string(),
  iteration_num: z.int().positive(),
  /** With `epochs`, how long the learning-rate schedule is. */
  num_of_iterations: z.int().positive(),
  epochs: z.int().positive(),
  lr: z.number().positive(),
  lr_schedule: scheduleSchema,
  batch_size: z.int().positive(),
  optimizer: optimiserSchema,
  class_weights: classWeightsSchema,
  augmentation: augmentationSchema.optional(),
  proximal_mu: z.number(),
  seed,
});

export const pytorchTrainParameters = trainParameters.extend({
  /** Processes of PyTorch, on one machine; with GPUs one for each. Absent: one. */
  process_count_per_instance: z.int().positive().optional(),
});

export const aggregateParameters = z.strictObject({
  iteration_num: z.int().positive(),
  aggregation: z.enum(['examples', 'mean']),
  strategy: z.enum(['fedavg', 'fedavgm']),
  server_lr: z.number(),
  server_momentum: z.number(),
  /** Names of all silos: `input_silo_1` and `evaluation_1` must come from the first. */
  silos: z.array(z.string()),
  /** Iterations without a better model on the validation images, after which training ends; absent: it never does. */
  patience: z.int().positive().optional(),
});

export const evaluateParameters = z.strictObject({
  metrics_prefix: z.string(),
  /** Absent for the comparison models, which belong to no iteration. */
  iteration_num: z.int().positive().optional(),
  batch_size: z.int().positive(),
  threshold: z.number(),
  seed,
});

export const evidenceParameters = z.strictObject({
  num_of_iterations: z.int().positive(),
  /** Names of all silos: `evaluation_1_*` must come from the first. */
  silos: z.array(z.string()),
  training: trainingWordsSchema,
  /** The config's training_parameters, for the model cards. */
  config: z.record(z.string(), z.json()),
  seed,
});

export const COMPONENTS = {
  'upload-data': {
    description: "Fetch radiographs and keep this hospital's part, split into train, val and test",
    inputs: ['source?'],
    outputs: ['raw_data_folder'],
    parameters: uploadParameters,
    needs: { decoder: true },
    load: () => import('./upload-data.ts'),
  },
  'prepare-data': {
    description: 'Decode the radiographs once into arrays of grey values',
    inputs: ['data'],
    outputs: ['prepared_data'],
    parameters: prepareParameters,
    needs: { decoder: true },
    load: () => import('./prepare-data.ts'),
  },
  'initial-model': {
    description: 'Draw the one initial model that every silo starts from',
    inputs: [],
    outputs: ['model'],
    parameters: initialModelParameters,
    needs: {},
    load: () => import('./initial-model.ts'),
  },
  'train-in-silo': {
    description: "Train the global model on one hospital's images",
    inputs: ['data_*', 'checkpoint'],
    outputs: ['model'],
    parameters: trainParameters,
    needs: { threads: true },
    load: () => import('./train-in-silo.ts'),
  },
  'train-in-silo-pytorch': {
    description: "Train the global model on one hospital's images in PyTorch, on GPUs where there are some",
    inputs: ['data_*', 'checkpoint'],
    outputs: ['model'],
    parameters: pytorchTrainParameters,
    needs: { threads: true, pytorch: true },
    load: () => import('./train-in-silo-pytorch.ts'),
  },
  'aggregate-model-weights': {
    description: "Check the silos' updates and make the next global model",
    inputs: ['checkpoint', 'input_silo_*', 'evaluation_*'],
    outputs: ['aggregated_output'],
    parameters: aggregateParameters,
    needs: {},
    load: () => import('./aggregate-model-weights.ts'),
  },
  'evaluate-in-silo': {
    description: "Evaluate models on one hospital's val and test images; only counts leave",
    inputs: ['data', 'model_*'],
    outputs: ['evaluation'],
    parameters: evaluateParameters,
    needs: { threads: true },
    load: () => import('./evaluate-in-silo.ts'),
  },
  'collect-evidence': {
    description: "Pool the hospitals' evaluations and name the best and the last model",
    inputs: ['model_*', 'evaluation_*'],
    outputs: ['evidence', 'best_model', 'last_model'],
    parameters: evidenceParameters,
    needs: {},
    load: () => import('./collect-evidence.ts'),
  },
} as const satisfies Record<string, ComponentSpec>;

export type ComponentName = keyof typeof COMPONENTS;

export const componentNameSchema = z.enum(Object.keys(COMPONENTS) as [ComponentName, ...ComponentName[]]);
