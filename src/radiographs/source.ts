/** @file Where a hospital's radiographs come from, as config.yaml and the command line name it. */
import { z } from 'zod';
import { fail } from '../base/index.ts';

export const KAGGLE_DATASET = 'paultimothymooney/chest-xray-pneumonia';
export const KAGGLE_URL = 'https://www.kaggle.com';

const path = z.string().min(1);

/** A source of radiographs; `phantom` makes synthetic ones (`imageSize` in pixels a side). */
export const sourceSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('kaggle'),
    baseUrl: z.url({ protocol: /^https?$/ }).default(KAGGLE_URL),
    dataset: z
      .string()
      .regex(/^[\w.-]+\/[\w.-]+$/, 'expected <owner>/<dataset>')
      .default(KAGGLE_DATASET),
  }),
  z.strictObject({ kind: z.literal('folder'), path }),
  z.strictObject({ kind: z.literal('zip'), path }),
  z.strictObject({
    kind: z.literal('phantom'),
    imagesPerSilo: z.int().min(20).max(20_000).default(250),
    imageSize: z.int().min(32).max(1024).default(128),
  }),
]);

export type Source = z.output<typeof sourceSchema>;

/**
 * Reads a source from one word: `kaggle`, `kaggle:<owner>/<dataset>`, `folder:<path>`, `zip:<path>`, `phantom` or
 * `phantom:<images per silo>`. Throws one line that names these choices.
 */
export function parseSource(text: string): Source {
  const colon = text.indexOf(':');
  const [kind, rest] = colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)];
  const parsed = sourceSchema.safeParse(fields(kind, rest));
  return parsed.success
    ? parsed.data
    : fail(
        'source',
        `expected kaggle, kaggle:<owner>/<dataset>, folder:<path>, zip:<path>, phantom or phantom:<images per silo, 20 to 20000>, got "${text}"`,
        'to try fedrad without data, use phantom',
      );
}

function fields(kind: string, rest: string | undefined): Record<string, unknown> {
  switch (kind) {
    case 'kaggle':
      return rest === undefined ? { kind } : { kind, dataset: rest };
    case 'phantom':
      return rest === undefined ? { kind } : { kind, imagesPerSilo: /^\d+$/.test(rest) ? Number(rest) : rest };
    default:
      return { kind, path: rest };
  }
}
