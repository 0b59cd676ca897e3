/**
 * @file Reads the expressions of ARM templates for the stand-in: calls, texts, numbers, members and items, with the functions that the
 * published list of template functions gives; a function that is not here is refused. Written apart from what writes templates in src/.
 */
import { createHash } from 'node:crypto';

export interface Scope {
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly subscriptionId: string;
  readonly tenantId: string;
  readonly resourceGroup: string;
  /** The properties of a resource by its id; undefined where expressions may not ask. */
  readonly reference?: (id: string, apiVersion: string) => unknown;
}

/** What Azure calls a template that it cannot read. */
export class InvalidTemplate extends Error {}

const refuse = (message: string): never => {
  throw new InvalidTemplate(message);
};

/** A value with every expression in it computed, keys of objects included. */
export function evaluate(value: unknown, scope: Scope): unknown {
  if (typeof value === 'string') return evaluateText(value, scope);
  if (Array.isArray(value)) return value.map((each) => evaluate(each, scope));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [String(evaluateText(key, scope)), evaluate(inner, scope)]),
  );
}

function evaluateText(text: string, scope: Scope): unknown {
  if (text.startsWith('[[')) return text.slice(1);
  if (!text.startsWith('[') || !text.endsWith(']')) return text;
  const source = text.slice(1, -1);
  const reader = { source, at: 0 };
  const value = readValue(reader, scope);
  skip(reader);
  if (reader.at !== source.length) refuse(`cannot read ${text} from ${reader.at}`);
  return value;
}

interface Reader {
  readonly source: string;
  at: number;
}

const skip = (reader: Reader): void => {
  while (reader.source[reader.at] === ' ') reader.at += 1;
};

function take(reader: Reader, expected: RegExp): string {
  skip(reader);
  const found = new RegExp(expected.source, 'y');
  found.lastIndex = reader.at;
  const match = found.exec(reader.source)?.[0];
  if (match === undefined) return refuse(`expected ${expected.source} in ${reader.source} at ${reader.at}`);
  reader.at += match.length;
  return match;
}

const next = (reader: Reader): string => {
  skip(reader);
  return reader.source[reader.at] ?? '';
};

function readValue(reader: Reader, scope: Scope): unknown {
  if (next(reader) === "'")
    return take(reader, /'(?:[^']|'')*'/)
      .slice(1, -1)
      .replaceAll("''", "'");
  if (/[0-9-]/.test(next(reader))) return Number(take(reader, /-?\d+/));
  const name = take(reader, /[A-Za-z]+/);
  take(reader, /\(/);
  const args: unknown[] = [];
  while (next(reader) !== ')') {
    if (args.length > 0) take(reader, /,/);
    args.push(readValue(reader, scope));
  }
  take(reader, /\)/);
  let value = call(name, args, scope);
  for (;;) {
    const sign = next(reader);
    if (sign === '.') {
      take(reader, /\./);
      value = memberOf(value, take(reader, /\w+/));
    } else if (sign === '[') {
      take(reader, /\[/);
      value = memberOf(value, readValue(reader, scope));
      take(reader, /\]/);
    } else return value;
  }
}

function memberOf(value: unknown, key: unknown): unknown {
  const found = (value as Record<string, unknown> | undefined)?.[String(key)];
  return found === undefined ? refuse(`there is no member ${key}`) : found;
}

const texts = (args: readonly unknown[]): string[] =>
  args.map((each) => (typeof each === 'string' ? each : refuse(`expected a text, got ${JSON.stringify(each)}`)));

function call(name: string, args: readonly unknown[], scope: Scope): unknown {
  const { subscriptionId, tenantId, resourceGroup } = scope;
  switch (name) {
    case 'parameters':
      return memberOf(scope.parameters, args[0]);
    case 'concat':
      return texts(args).join('');
    case 'replace': {
      const [text, from, to] = texts(args);
      return text!.replaceAll(from!, to!);
    }
    case 'guid':
      return guid(texts(args));
    case 'subscription':
      return { subscriptionId, tenantId, id: `/subscriptions/${subscriptionId}` };
    case 'resourceGroup':
      return { name: resourceGroup, id: `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}` };
    case 'environment':
      return { name: 'AzureCloud', suffixes: { storage: 'core.windows.net' } };
    case 'resourceId': {
      const [type, ...names] = texts(args);
      return `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/providers/${typedPath(type!, names)}`;
    }
    case 'subscriptionResourceId': {
      const [type, ...names] = texts(args);
      return `/subscriptions/${subscriptionId}/providers/${typedPath(type!, names)}`;
    }
    case 'reference': {
      const [id, apiVersion] = texts(args);
      if (!scope.reference) return refuse('reference() is not known yet where a name is computed');
      return scope.reference(id!, apiVersion ?? refuse('reference() of an id needs an api-version'));
    }
  }
  return refuse(`the template function '${name}' is not valid`);
}

/** `Microsoft.A/b/c` and [x, y] as `Microsoft.A/b/x/c/y`. */
export function typedPath(type: string, names: readonly string[]): string {
  const [namespace, ...kinds] = type.split('/');
  if (kinds.length !== names.length || kinds.length === 0)
    refuse(`'${type}' needs ${kinds.length} names, got ${names.join('/')}`);
  return [namespace, ...kinds.flatMap((kind, index) => [kind, names[index]!])].join('/');
}

/** Not Azure's own, but as it should be: the same for the same texts. */
function guid(parts: readonly string[]): string {
  const hex = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
