/** @file Reads a YAML config against a schema; the first thing that is wrong becomes one line with its place and the nearest key. */
import { distance } from 'fastest-levenshtein';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { fail } from '../base/index.ts';

/** Parses YAML text and checks it. `file` names the text in errors. */
export function parseConfig<Schema extends z.ZodType>(text: string, schema: Schema, file: string): z.output<Schema> {
  const document = parseDocument(text, { prettyErrors: true });
  const syntax = document.errors[0];
  if (syntax) fail(file, `not valid YAML: ${syntax.message.split('\n')[0]}`, 'mend the line and submit again');
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  // A mistyped key also leaves the right one missing; the mistyped one is what the user must see.
  const issues = result.error.issues
    .flatMap(insideUnions)
    .toSorted((a, b) => Number(b.code === 'unrecognized_keys') - Number(a.code === 'unrecognized_keys'));
  const [first, ...others] = issues.flatMap((issue) => describe(issue, schema, value));
  const more = others.length > 0 ? `; ${others.length} more after this one` : '';
  return fail(`${file}${first!.path === '' ? '' : `: ${first!.path}`}`, `${first!.problem}${more}`, first!.remedy);
}

/** A refusal of something that is valid but not built. */
export const notBuilt = (what: string, remedy: string) => ({
  error: `${what} is not available in this version`,
  params: { remedy },
});

interface Found {
  readonly path: string;
  readonly problem: string;
  readonly remedy: string;
}

/** Of a union's alternatives the one that the value is nearest to, whose faults lie inside of the value; else the issue itself. */
function insideUnions(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const nearest = issue.errors.find((issues) =>
    issues.some(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
  );
  if (!nearest) return [issue];
  return nearest.flatMap((inner) => insideUnions({ ...inner, path: [...issue.path, ...inner.path] }));
}

function describe(issue: z.core.$ZodIssue, schema: z.ZodType, value: unknown): Found[] {
  const path = pathText(issue.path);
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, issue.path, value);
    return issue.keys.map((key) => ({
      path: pathText([...issue.path, key]),
      problem: 'unknown key',
      remedy: `did you mean ${nearest(key, known)}? known here: ${known.join(', ')}`,
    }));
  }
  if (issue.code === 'custom')
    return [{ path, problem: issue.message, remedy: String(issue.params?.['remedy'] ?? 'change it') }];
  if (issue.code === 'invalid_union') {
    if ('options' in issue && Array.isArray(issue.options))
      return [{ path, problem: `expected one of ${issue.options.join(', ')}${got(issue)}`, ...nearestValue(issue) }];
    const expected = issue.errors.flatMap((issues) => issues.map((one) => ('expected' in one ? one.expected : '')));
    const problem = issue.message === 'Invalid input' ? `expected ${expected.join(' or ')}` : issue.message;
    return [{ path, problem: `${problem}${got(issue)}`, ...nearestValue(issue) }];
  }
  const missing = issue.code === 'invalid_type' && issue.input === undefined && issue.message.includes('undefined');
  const problem = missing
    ? `missing, expected ${issue.expected}`
    : `${lowerFirst(issue.message.replace(/^Invalid input: /, ''))}${got(issue)}`;
  return [{ path, problem, ...(missing ? { remedy: 'add it' } : nearestValue(issue)) }];
}

/** What stood there, if it is short and the message does not say so. */
function got({ input, message }: z.core.$ZodIssue): string {
  if (input === undefined || message.includes('received')) return '';
  const text = JSON.stringify(input) ?? String(input);
  return text.length > 60 ? '' : `, got ${text}`;
}

/** The word that was meant, where words are expected and one was given. */
function nearestValue(issue: z.core.$ZodIssue): { remedy: string } {
  const words = wordsOf(issue).filter((word): word is string => typeof word === 'string');
  if (typeof issue.input !== 'string' || words.length === 0) return { remedy: 'change the value' };
  const word = nearest(issue.input, words);
  const alike = distance(issue.input.toLowerCase(), word.toLowerCase()) <= Math.max(2, word.length / 3);
  return { remedy: alike ? `did you mean ${word}?` : 'change the value' };
}

const wordsOf = (issue: z.core.$ZodIssue): readonly unknown[] =>
  issue.code === 'invalid_value'
    ? issue.values
    : issue.code === 'invalid_union'
      ? 'options' in issue && Array.isArray(issue.options)
        ? issue.options
        : issue.errors.flat().flatMap(wordsOf)
      : [];

const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1);

const pathText = (path: readonly PropertyKey[]): string =>
  path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');

/** The one of `names` that is fewest edits away from `name`. */
export const nearest = (name: string, names: readonly string[]): string =>
  [...names].sort((a, b) => distance(name, a) - distance(name, b))[0] ?? name;

/**
 * The keys of the object schemas at `path` of `value`; wrappers (optional, default, refinements) are looked through, and of alternatives
 * those that the value's `kind` or `op` chooses.
 */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[], value: unknown): string[] {
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodUnion) {
    const options = inner.options as readonly z.ZodType[];
    const chosen = options.filter((option) => isChosen(unwrapped(option), value));
    return [...new Set((chosen.length > 0 ? chosen : options).flatMap((option) => knownKeys(option, path, value)))];
  }
  if (path.length === 0) return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
  const [head, ...rest] = path;
  if (inner instanceof z.ZodObject) {
    const next = inner.shape[String(head)] as z.ZodType | undefined;
    return next ? knownKeys(next, rest, child(value, head!)) : [];
  }
  return inner instanceof z.ZodArray ? knownKeys(inner.element as z.ZodType, rest, child(value, head!)) : [];
}

const child = (value: unknown, key: PropertyKey): unknown =>
  value !== null && typeof value === 'object' ? (value as Record<PropertyKey, unknown>)[key] : undefined;

const isChosen = (option: z.ZodType, value: unknown): boolean =>
  option instanceof z.ZodObject &&
  ['kind', 'op'].some((key) => {
    const literal = option.shape[key] as z.ZodType | undefined;
    return literal instanceof z.ZodLiteral && literal.values.has(child(value, key) as string);
  });

function unwrapped(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (true) {
    if (
      inner instanceof z.ZodOptional ||
      inner instanceof z.ZodNullable ||
      inner instanceof z.ZodDefault ||
      inner instanceof z.ZodPrefault ||
      inner instanceof z.ZodLazy
    ) {
      inner = inner.unwrap() as z.ZodType;
    } else if (inner instanceof z.ZodPipe) {
      inner = (inner.in instanceof z.ZodTransform ? inner.out : inner.in) as z.ZodType;
    } else {
      return inner;
    }
  }
}
