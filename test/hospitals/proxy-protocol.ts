/** @file What a test says to its proxies, which run in a process of their own in the router's namespace: JSON lines. */
import { z } from 'zod';

const endpoint = z.strictObject({ host: z.string(), port: z.int().nonnegative() });

/** The proxies to open: the only argument of the process. */
export const proxiesSchema = z.record(z.string(), z.strictObject({ listen: endpoint, target: endpoint }));
export type Proxies = z.infer<typeof proxiesSchema>;

const of = { id: z.int(), link: z.string() };
export const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({
    ...of,
    do: z.literal('set'),
    state: z.strictObject({
      latencyMs: z.number().nonnegative().exactOptional(),
      bytesPerSecond: z.number().nonnegative().exactOptional(),
      stalled: z.boolean().exactOptional(),
    }),
  }),
  z.strictObject({ ...of, do: z.enum(['reset', 'forget', 'facts']) }),
]);
export type Request = z.infer<typeof requestSchema>;

/** `id` 0 comes when all proxies listen. */
export const replySchema = z.union([
  z.strictObject({ id: z.int(), count: z.int() }),
  z.strictObject({ id: z.int(), connections: z.int(), bytes: z.int() }),
]);
export type Reply = z.infer<typeof replySchema>;
