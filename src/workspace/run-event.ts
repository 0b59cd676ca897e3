/**
 * @file What happens in a run, as it is recorded: one schema gives the type and the check. Every event has the time
 * of the caller's clock, `at`, ISO 8601 in UTC.
 */
import { z } from 'zod';

const at = z.iso.datetime();
const step = z.string().min(1);
/** Counts from 1. */
const attempt = z.int().positive();
const seconds = z.number().nonnegative();

export const stepOutputSchema = z
  .strictObject({
    /** `azureml://datastores/<datastore>/paths/<path>` */
    path: z.string(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    bytes: z.int().nonnegative(),
  })
  .readonly();

/** A file or folder that a finished step left in a datastore. */
export type StepOutput = z.infer<typeof stepOutputSchema>;

export const runEventSchema = z.discriminatedUnion('type', [
  /** The first event of every run, and only the first. */
  z.strictObject({
    type: z.literal('submitted'),
    at,
    experiment: z.string(),
    pipeline: z.string(),
    workspace: z.string(),
    /** SHA-256 of the graph's canonical JSON. */
    graphHash: z.string(),
  }),
  /** A process took the run on: at first, and again after a crash or a failure. */
  z.strictObject({
    type: z.literal('started'),
    at,
    pid: z.int().positive(),
    /** What kept the steps apart: `bubblewrap`, `permissions`. */
    sandbox: z.string(),
    cores: z.int().positive(),
    /** Which instructions the engine used; results of different kernels differ in their last bits. */
    kernels: z.string().exactOptional(),
  }),
  z.strictObject({ type: z.literal('step-started'), at, step, attempt, threads: z.int().positive() }),
  z.strictObject({
    type: z.literal('metric'),
    at,
    step,
    name: z.string().min(1),
    value: z.number(),
    iteration: z.int().nonnegative().exactOptional(),
  }),
  z.strictObject({
    type: z.literal('step-finished'),
    at,
    step,
    attempt,
    outputs: z.record(z.string(), stepOutputSchema),
    /** Wall clock. */
    seconds,
    /** Processor time of the step's process, over all its threads. */
    cpuSeconds: seconds,
  }),
  z.strictObject({
    type: z.literal('step-failed'),
    at,
    step,
    attempt,
    error: z.string(),
    /** The last lines the step printed. */
    logTail: z.array(z.string()),
    /** It is not tried again. */
    lost: z.literal(true).exactOptional(),
    /** By no fault of its compute: the orchestrator, or what is between them. */
    here: z.literal(true).exactOptional(),
  }),
  /** A step is ready but its compute is not: a hospital that is not connected. With no reason the wait is over. */
  z.strictObject({ type: z.literal('step-waiting'), at, step, reason: z.string().exactOptional() }),
  z.strictObject({ type: z.literal('cancel-requested'), at, by: z.string() }),
  z.strictObject({
    type: z.literal('finished'),
    at,
    status: z.enum(['COMPLETED', 'FAILED', 'CANCELED']),
    reason: z.string().exactOptional(),
  }),
]);

export type RunEvent = Readonly<z.infer<typeof runEventSchema>>;
export type SubmittedEvent = Extract<RunEvent, { type: 'submitted' }>;
