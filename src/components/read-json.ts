/**
 * @file JSON that another party wrote: read up to a size, parsed and checked against a schema, or refused in one line. The words of
 * a refusal are bounded too, since a schema's complaint may quote what it read.
 */
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { fail } from '../base/index.ts';

/** Most bytes of a file that is read here, all of them counts and settings: ten times the largest. */
const MAX_BYTES = 2 ** 20;
const MAX_WORDS = 400;

/**
 * The value that a JSON file holds.
 *
 * @param remedy what to do, or what is done, where it does not hold one
 * @throws FedradError where the file is missing, too large, no JSON, or not of the schema
 */
export async function readJson<T>(path: string, schema: z.ZodType<T>, remedy: string): Promise<T> {
  const refuse = (problem: string, cause?: unknown): never => fail(path, problem, remedy, cause);
  const bytes = await readBytes(path).catch((error: NodeJS.ErrnoException) =>
    refuse(error.code === 'ENOENT' ? 'the file is missing' : `it cannot be read: ${error.code ?? error}`, error),
  );
  if (bytes.length > MAX_BYTES) return refuse(`it is larger than ${MAX_BYTES} bytes`);
  const value = parseJson(bytes.toString());
  if (value === undefined) return refuse('not JSON');
  const checked = check(value, schema);
  return 'value' in checked ? checked.value : refuse(checked.problem);
}

/** The value of a JSON text, or undefined where it is none: the parser's own message quotes the text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a schema dislikes, on one line. */
export function schemaProblem(error: z.ZodError): string {
  const words = z.prettifyError(error).replaceAll(/\s*\n\s*/g, ' ');
  return words.length > MAX_WORDS ? `${words.slice(0, MAX_WORDS)} …` : words;
}

function check<T>(value: unknown, schema: z.ZodType<T>): { readonly value: T } | { readonly problem: string } {
  try {
    const result = schema.safeParse(value);
    return result.success ? { value: result.data } : { problem: schemaProblem(result.error) };
  } catch (error) {
    // A schema of any JSON calls itself for each level.
    if (error instanceof RangeError) return { problem: 'it is nested too deep' };
    throw error;
  }
}

/** The file, or its beginning where it is longer than may be. */
async function readBytes(path: string): Promise<Buffer> {
  await using file = await open(path, 'r');
  const bytes = Buffer.alloc(MAX_BYTES + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length);
    length += bytesRead;
    if (bytesRead === 0 || length === bytes.length) return bytes.subarray(0, length);
  }
}
