/** @file Names and values as every MLflow server takes them, whatever system it runs on. Pure. */

/** What the REST API promises for keys, and for values of parameters and tags; newer servers take longer values. */
const MAX_KEY = 250;
const MAX_VALUE = 250;

/**
 * The name of a metric, parameter or tag. Letters, digits and `_-. /` stay; anything else becomes "_", and so does a part that would be
 * another path where names are files ("..", an empty one).
 */
export function trackedName(name: string): string {
  const plain = name.slice(0, MAX_KEY).replaceAll(/[^\p{L}\p{N}_/. -]/gu, '_');
  return plain
    .split('/')
    .map((part) => (/^\.{0,2}$/.test(part) ? '_' : part))
    .join('/');
}

/** The value of a parameter: text as it is, anything else as JSON; what is too long ends in "…". */
export function trackedValue(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null');
  return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE - 1)}…`;
}

/** Parameters by their names and values here. */
export const trackedParams = (parameters: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(Object.entries(parameters).map(([name, value]) => [trackedName(name), trackedValue(value)]));
