/**
 * @file What travels between the orchestrator and a hospital's agent, each message sealed (signed) by its sender. One schema gives
 * the type and the check. Models do not travel in messages but as objects, named by their content hash.
 */
import { z } from 'zod';
import { printable } from '../base/index.ts';
import { stepMessageSchema } from '../components/index.ts';
import { stepSchema } from '../pipelines/index.ts';
import { stepOutputSchema } from '../workspace/index.ts';

/** Words of the other side, which end in a terminal or a log here. */
const words = z.string().transform(printable);
const run = z.string().regex(/^[A-Za-z0-9_-]{1,120}$/);
const attempt = z.int().positive();

/** Do this step. Sent at least once; the same (run, step, attempt) is the same work. */
export const workSchema = z.strictObject({
  kind: z.literal('work'),
  run,
  attempt,
  step: stepSchema,
  /** Inputs that earlier steps left, by name: in a datastore of the compute, or an object of {@link MODELS_BUCKET}. Inputs of other kinds are in the step. */
  inputs: z.record(z.string(), stepOutputSchema),
  /** Other content may lie where the outputs go. */
  redone: z.boolean(),
});

const endKind = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('completed'),
    /** In the compute's own datastore, or as an object of its updates bucket when the output goes to another one. */
    outputs: z.record(z.string(), stepOutputSchema),
  }),
  z.strictObject({ kind: z.enum(['refused', 'crashed']), error: words, logTail: z.array(words) }),
  z.strictObject({ kind: z.literal('inputs-lost'), inputs: z.array(z.string()) }),
]);

/** How an attempt ended. Sent at least once. */
export const endSchema = z.strictObject({
  kind: z.literal('end'),
  run,
  step: z.string(),
  attempt,
  compute: z.string(),
  end: endKind,
  /** Metrics and cost of the attempt. */
  messages: z.array(stepMessageSchema).max(10_000),
  /** Wall clock of the attempt at the hospital. */
  seconds: z.number().nonnegative(),
});

/** What a step says while it runs. Lost when nobody listens. */
export const talkSchema = z.strictObject({
  kind: z.literal('talk'),
  run,
  step: z.string(),
  attempt,
  /** `started` comes first. */
  message: z.union([stepMessageSchema, z.strictObject({ type: z.literal('started'), threads: z.int().positive() })]),
});

/** What an agent says of itself every few seconds. */
export const heartbeatSchema = z.strictObject({
  kind: z.literal('heartbeat'),
  compute: z.string(),
  at: z.iso.datetime(),
  version: words,
  /** Which arithmetic the engine has there, and what keeps the steps apart. */
  kernels: words,
  sandbox: words,
  cores: z.int().positive(),
  /** `draining`: it takes no new steps and stops when those it has are done. */
  state: z.enum(['ready', 'draining', 'stopped']),
  running: z.array(z.strictObject({ run, step: z.string(), attempt })),
});

/** A run's entry in {@link RUNS_BUCKET}. */
export const runEntrySchema = z.discriminatedUnion('kind', [
  /** Agents stop its steps and forget what they kept for it. */
  z.strictObject({ kind: z.literal('run-closed'), run, status: z.string() }),
  /** Agents stop these steps: the run goes on without them. */
  z.strictObject({
    kind: z.literal('work-withdrawn'),
    run,
    work: z.array(z.strictObject({ compute: z.string(), step: z.string(), attempt })),
  }),
]);

export type Work = z.infer<typeof workSchema>;
export type End = z.infer<typeof endSchema>;
export type Talk = z.infer<typeof talkSchema>;
export type Heartbeat = z.infer<typeof heartbeatSchema>;
export type RunEntry = z.infer<typeof runEntrySchema>;

/** A message with its sender's Ed25519 signature over the exact text of `body` (JSON), base64. */
export const sealedSchema = z.strictObject({ body: z.string().max(4_000_000), signature: z.base64() });
export type Sealed = z.infer<typeof sealedSchema>;
