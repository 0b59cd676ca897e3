/**
 * @file What the evidence report is made of. Whoever ran the work fills it in; `renderReport` only prints it. What is not
 * known is said as `{ missing: <why> }` and printed as "not measured", never left out in silence.
 */
import { z } from 'zod';
import { evaluationSchema, figuresSchema, pooledEvaluationSchema } from './figures.ts';

/** A value that could not be had, and why: printed as "not measured: <reason>". */
export const missingSchema = z.object({ missing: z.string().min(1) });
export type Missing = z.infer<typeof missingSchema>;
const orMissing = <T extends z.ZodType>(schema: T) => z.union([schema, missingSchema]);

export const isMissing = (value: unknown): value is Missing =>
  value !== null && typeof value === 'object' && 'missing' in value;

const count = z.number().int().nonnegative();
const seconds = z.number().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 as 64 lower-case hexadecimal digits');
const fact = z.object({ name: z.string(), value: orMissing(z.union([z.string(), z.number()])) });
export type Fact = z.infer<typeof fact>;

const measured = z.union([pooledEvaluationSchema, evaluationSchema, missingSchema]);

/** One model measured on the pooled test images of all hospitals, so that rows can be compared. */
const comparisonRow = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('federated-best'), label: z.string(), evaluation: measured }),
  z.object({ kind: z.literal('federated-last'), label: z.string(), evaluation: measured }),
  /** A model that one hospital (a `name` of `hospitals`) trained by itself. */
  z.object({
    kind: z.literal('alone'),
    label: z.string(),
    hospital: z.string(),
    evaluation: measured,
  }),
  /** A model trained on all hospitals' data in one place: what federation is measured against. */
  z.object({ kind: z.literal('pooled'), label: z.string(), evaluation: measured }),
]);
export type ComparisonRow = z.infer<typeof comparisonRow>;

/** The aggregated model of one iteration on validation images: of one hospital, or of all (null). */
const iterationPoint = z.object({
  iteration: z.number().int().positive(),
  hospital: z.string().nullable(),
  /** Validation AUROC; null where it could not be measured. */
  auroc: z.number().min(0).max(1).nullable(),
  /** Validation loss, mean cross-entropy in nats. */
  loss: z.number().nonnegative().nullable(),
});
export type IterationPoint = z.infer<typeof iterationPoint>;

const hospital = z.object({
  name: z.string(),
  /** Images by split (train, validation, test) and class, and their patients. */
  splits: z.array(z.object({ split: z.string(), normal: count, pneumonia: count, patients: count })),
  /** What became of the images that were offered: used, and set aside by reason. */
  intake: orMissing(
    z.object({ offered: count, used: count, setAside: z.array(z.object({ reason: z.string(), images: count })) }),
  ),
  /** The federated (best) model on this hospital's own test images. */
  test: orMissing(figuresSchema),
});
export type HospitalData = z.infer<typeof hospital>;

const step = z.object({
  /** `train-in-silo`, `aggregate`, ... */
  step: z.string(),
  hospital: z.string().nullable(),
  /** How often it ran. */
  runs: count,
  /** Summed over its runs. */
  wallSeconds: orMissing(seconds),
  cpuSeconds: orMissing(seconds),
});

export const reportDataSchema = z.object({
  title: z.string(),
  runId: z.string(),
  workspace: z.string(),
  startedAt: z.iso.datetime(),
  endedAt: orMissing(z.iso.datetime()),
  status: z.enum(['completed', 'failed', 'cancelled', 'running']),
  /** True when the images are generated phantoms: the report then says so at its top. */
  synthetic: z.boolean(),
  comparison: z.array(comparisonRow),
  iterations: z.array(iterationPoint),
  /** In the order of the configuration; a hospital keeps one colour through all charts. */
  hospitals: z.array(hospital),
  /** Settings of the training, in the order to print: network, optimizer, epochs, strategy, ... */
  training: z.array(fact),
  /** Differential privacy, secure aggregation, site policies; missing where none was used. */
  privacy: orMissing(z.array(fact)),
  seeds: z.array(z.object({ name: z.string(), value: z.number().int() })),
  hashes: z.object({
    model: orMissing(sha256),
    initialModel: orMissing(sha256),
    graph: orMissing(sha256),
    /** Of the manifest of each hospital's data. */
    manifests: z.array(z.object({ hospital: z.string(), sha256: orMissing(sha256) })),
  }),
  software: z.array(z.object({ name: z.string(), version: z.string() })),
  /** What confined the steps, and what code computed. */
  execution: z.object({
    sandbox: orMissing(z.string()),
    kernels: orMissing(z.string()),
    machine: orMissing(z.string()),
  }),
  steps: z.array(step),
  /** Limits of this run, printed beside those that hold for every report. */
  limits: z.array(z.string()),
  /** How to do it again: a command line, and what to know about it. */
  repeat: z.object({ command: z.string(), note: z.string() }),
});
export type ReportData = z.infer<typeof reportDataSchema>;
