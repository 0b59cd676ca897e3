/** @file What a step says on its standard output: one JSON object a line. The backend checks each line; other lines go to the log. */
import { z } from 'zod';
import { withoutPaths } from '../base/index.ts';

/** A terminal obeys control characters; nothing that a step says may hold one. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const NO_CONTROL = /^[^\u0000-\u001f\u007f-\u009f]*$/;

export const stepMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('progress'),
    done: z.number().nonnegative(),
    total: z.number().nonnegative(),
    text: z.string().max(200).regex(NO_CONTROL),
  }),
  z.strictObject({
    type: z.literal('metric'),
    name: z.string().min(1).max(200).regex(NO_CONTROL),
    value: z.number(),
    iteration: z.int().nonnegative().optional(),
  }),
  /** What the whole step cost, at its end. */
  z.strictObject({
    type: z.literal('usage'),
    cpuSeconds: z.number().nonnegative(),
    maxRssBytes: z.number().nonnegative(),
  }),
  z.strictObject({ type: z.literal('note'), text: z.string().max(2000) }),
]);

export type StepMessage = z.infer<typeof stepMessageSchema>;

/** The message that a line is; a line of a log is none. */
export function messageIn(line: string): StepMessage | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return stepMessageSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** The message as it may leave a hospital: what it tells in words loses its paths. */
export const mayLeave = <T extends { readonly type: string }>(message: T): T =>
  'text' in message && typeof message.text === 'string' ? { ...message, text: withoutPaths(message.text) } : message;
