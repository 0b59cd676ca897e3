/**
 * @file config.yaml: the Azure ML example's keys as they are, and fedrad's own, which are all optional. One schema gives the type
 * and the check. Keys are in the order in which the example has them; fedrad's own come after.
 */
import { z } from 'zod';
import { FedradError, fail } from '../base/index.ts';
import { parseDatastoreUri } from '../workspace/index.ts';
import { notBuilt } from './check-config.ts';
import { trainingSchema } from './training.ts';
import { OWN_DATASTORE, parseUploadSource, type UploadSource } from './upload-source.ts';

/** Where the workspace is. Options on the command line win over these. */
export const amlSchema = z
  .strictObject({
    subscription_id: z.string().optional(),
    resource_group_name: z.string().optional(),
    workspace_name: z.string().optional(),
  })
  // `aml:` with all its lines commented out is null in YAML.
  .nullish()
  .transform((aml) => aml ?? {});

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'expected letters, digits, "-" and "_"');

const siloSchema = z.strictObject({
  /** Names the hospital in metrics, tables and files. */
  name,
  /** The first one trains. */
  computes: z.array(name).min(1, 'expected at least one compute'),
  datastore: name,
  silo_data: z.strictObject({
    type: z.literal('uri_folder'),
    /** How the data reaches the step; on one machine it is always read in place, read-only. */
    mode: z.enum(['download', 'mount', 'ro_mount', 'direct']).default('download'),
    path: z.string(),
  }),
  /** What trains at this hospital: fedrad's own engine, or PyTorch, which uses GPUs. */
  trainer: z.enum(['fedrad', 'pytorch']).default('fedrad'),
  /** Processes of the PyTorch trainer; with GPUs one for each. Default 1. */
  process_count_per_instance: z.int().min(1).max(64).optional(),
  /** For Azure ML: nodes of a training step. */
  instance_count: z.int().positive().optional(),
  /** For Azure ML on Kubernetes: the instance type of a training step. */
  instance_type: z.string().optional(),
});

/** No two silos have one of these in common: the images of one would lie among those of the other. */
function refuseShared<Key extends string>(
  key: Key,
  silos: readonly Readonly<Record<Key, string>>[],
  context: z.RefinementCtx,
): void {
  for (const [index, { [key]: value }] of silos.entries()) {
    const first = silos.findIndex((other) => other[key] === value);
    if (first === index) continue;
    const path = ['federated_learning', 'silos', index, key];
    const message = `"${value}" is also the ${key} of silos[${first}]`;
    context.addIssue({ code: 'custom', path, message, params: { remedy: `give each silo a ${key} of its own` } });
  }
}

/** The last step takes one evaluation of each silo and iteration as an input on its command line, which has a limit. */
const MAX_EVALUATIONS = 1500;

export const pneumoniaConfigSchema = z
  .strictObject({
    aml: amlSchema,
    federated_learning: z.strictObject({
      orchestrator: z.strictObject({ compute: name, datastore: name }),
      silos: z.array(siloSchema).min(1, 'expected at least one silo'),
    }),
    training_parameters: trainingSchema.prefault({}),
  })
  .superRefine(
    (
      { federated_learning: { silos }, training_parameters: { min_silos: minSilos, num_of_iterations: iterations } },
      context,
    ) => {
      refuseShared('name', silos, context);
      refuseShared('datastore', silos, context);
      if (silos.length * iterations > MAX_EVALUATIONS) {
        const path = ['training_parameters', 'num_of_iterations'];
        const most = Math.floor(MAX_EVALUATIONS / silos.length);
        context.addIssue({
          code: 'custom',
          path,
          message: `${iterations} iterations of ${silos.length} silos are too many for one run`,
          params: { remedy: `at most ${most}` },
        });
      }
      if (minSilos !== undefined && minSilos > silos.length) {
        const path = ['training_parameters', 'min_silos'];
        context.addIssue({
          code: 'custom',
          path,
          message: `${minSilos} is more than the ${silos.length} silos`,
          params: { remedy: `at most ${silos.length}` },
        });
      }
    },
  );

export type PneumoniaConfig = z.infer<typeof pneumoniaConfigSchema>;

/** Each silo's images lie in its own datastore. Looked at when a run is submitted: what is known of earlier runs is read as it is. */
export function checkOwnData({ federated_learning: { silos } }: PneumoniaConfig, file: string): void {
  for (const [index, { datastore, silo_data }] of silos.entries()) {
    const where = `${file}: federated_learning.silos[${index}].silo_data.path`;
    const { datastore: holds } = parseDatastoreUri(silo_data.path, where);
    if (holds !== datastore)
      fail(where, `it lies in ${holds}, and the silo's datastore is ${datastore}`, 'use one for both');
  }
}
export type Silo = z.infer<typeof siloSchema>;

export const uploadConfigSchema = z
  .strictObject({
    aml: amlSchema,
    federated_learning: z.strictObject({
      /** Unused for the pneumonia data, which goes straight to the silos; the example's config names it. */
      host: z.strictObject({ compute: name, datastore: name }).optional(),
      silos: z
        .array(z.strictObject({ compute: name, datastore: name, instance_type: z.string().optional() }))
        .min(1, 'expected at least one silo'),
    }),
    confidentiality: z
      .strictObject({
        enable: z
          .boolean()
          .default(false)
          .refine((on) => !on, notBuilt('encryption of the data (confidentiality.enable: true)', 'set enable: false')),
        keyvault: z.string().optional(),
        key_name: z.string().optional(),
      })
      .optional(),
    /** Where the images come from and how they are dealt to the hospitals. */
    data: z
      .strictObject({
        /**
         * `kaggle`, `folder:<path>`, `zip:<path>`, `phantom`, `phantom:<images per hospital>`, or a folder or archive in a datastore:
         * `azureml://datastores/<datastore>/paths/<path>` is dealt to the hospitals, with `${{silo.datastore}}` each has its own.
         */
        source: z.string().default('kaggle'),
        /** Base URL of the Kaggle API. */
        kaggle_url: z.url({ protocol: /^https?$/ }).default('https://www.kaggle.com'),
        partition: z
          .strictObject({
            /** No patient in two hospitals or splits; or the Azure ML example's own split, by file. */
            method: z.enum(['patient-disjoint', 'round-robin']).default('patient-disjoint'),
            /** Hospitals differ in prevalence: alpha of a Dirichlet distribution, small is uneven. */
            label_skew_alpha: z.number().min(0.05).max(1000).optional(),
            /** Relative sizes of the hospitals. */
            size_skew: z.array(z.number().positive()).min(1).optional(),
          })
          .prefault({}),
        /** Edge of phantom images in pixels. */
        phantom_size: z.int().min(32).max(1024).default(128),
        seed: z.int().nonnegative().default(31415),
      })
      .prefault({}),
  })
  .superRefine(({ federated_learning: { silos }, data: { source, partition } }, context) => {
    refuseShared('datastore', silos, context);
    const refuse = (key: string, message: string, remedy: string): void =>
      void context.addIssue({ code: 'custom', path: ['data', ...key.split('.')], message, params: { remedy } });
    let from: UploadSource | undefined;
    try {
      from = parseUploadSource(source);
    } catch (error) {
      if (!(error instanceof FedradError)) throw error;
      refuse('source', error.problem, error.remedy ?? 'change it');
    }
    const isOwn = from?.kind === 'datastore' && from.datastore === undefined;
    if (from?.kind === 'datastore' && silos.length > 1 && silos.some(({ datastore }) => datastore === from.datastore)) {
      const other = silos.find(({ datastore }) => datastore !== from.datastore)!;
      refuse(
        'source',
        `${from.datastore} is one silo's own, and ${other.compute} may not read it`,
        `write azureml://datastores/${OWN_DATASTORE}/paths/${from.path} where each silo has its own images`,
      );
    }
    const skewed = (['label_skew_alpha', 'size_skew'] as const).find((key) => partition[key] !== undefined);
    if (skewed && partition.method === 'round-robin') {
      refuse(`partition.${skewed}`, 'round-robin deals evenly', 'remove it, or use method: patient-disjoint');
    }
    if (skewed && source.startsWith('phantom')) {
      refuse(`partition.${skewed}`, 'a skew does not apply to phantoms, whose hospitals differ already', 'remove it');
    }
    if (skewed && isOwn) {
      refuse(`partition.${skewed}`, 'a skew does not apply where each silo has its own images', 'remove it');
    }
    if (partition.size_skew && partition.size_skew.length !== silos.length) {
      const { length } = partition.size_skew;
      refuse(
        'partition.size_skew',
        `expected ${silos.length} numbers, one for each silo, got ${length}`,
        'give one for each',
      );
    }
  });

export type UploadConfig = z.infer<typeof uploadConfigSchema>;
