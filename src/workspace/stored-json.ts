/** @file JSON files of a home, checked when read. */
import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { fail } from '../base/index.ts';

/** The first thing a schema disliked: `silos[0].region: Invalid input`. Never quotes the value itself. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]!;
  const path = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return path === '' ? issue.message : `${path.replace(/^\./, '')}: ${issue.message}`;
}

/** Reads a JSON file that fedrad wrote. */
export async function readStoredJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const damaged = (detail: string): never => fail(path, `it is damaged: ${detail}`, 'restore it from a backup');
  const text = await readFile(path, 'utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which a vault must not have in a log.
    return damaged('not JSON');
  }
  const checked = schema.safeParse(value);
  return checked.success ? checked.data : damaged(firstIssue(checked.error));
}

/** JSON as fedrad writes it: readable, with a final newline. */
export const toStoredJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
