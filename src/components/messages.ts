/** @file What a step says on its standard output: one JSON object a line. The backend checks each line; other lines go to the log. */
import { z } from 'zod';

export const stepMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('progress'),
    done: z.number().nonnegative(),
    total: z.number().nonnegative(),
    text: z.string().max(200),
  }),
  z.strictObject({
    type: z.literal('metric'),
    name: z.string().max(200),
    value: z.number(),
    iteration: z.int().optional(),
  }),
  /** What the whole step cost, at its end. */
  z.strictObject({ type: z.literal('usage'), cpuSeconds: z.number(), maxRssBytes: z.number() }),
  z.strictObject({ type: z.literal('note'), text: z.string().max(2000) }),
]);

export type StepMessage = z.infer<typeof stepMessageSchema>;
