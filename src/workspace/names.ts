/** @file Looking things up by name: whoever mistypes one is told the nearest that exists. */
import { closest, distance } from 'fastest-levenshtein';
import { fail } from '../base/index.ts';

/** A phrase to append to an error: `; did you mean kv-fldemo?`, or the names there are when none is near. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const names = [...known];
  if (names.length === 0) return '';
  const nearest = closest(name, names);
  const near = distance(name.toLowerCase(), nearest.toLowerCase()) <= Math.ceil(nearest.length / 3);
  if (near) return `; did you mean ${nearest}?`;
  const shown = names.slice(0, 8).join(', ');
  return `; there ${names.length === 1 ? 'is' : 'are'} ${shown}${names.length > 8 ? ', …' : ''}`;
}

/**
 * The entry of this name.
 *
 * @param where the place of the name, as the user knows it: `config.yaml: federated_learning.silos[1].datastore`
 * @param kind what the name names: `datastore`
 * @throws FedradError with the nearest name and the command that shows them all
 */
export function findNamed<T>(
  entries: ReadonlyMap<string, T>,
  name: string,
  { where, kind, remedy }: { readonly where: string; readonly kind: string; readonly remedy: string },
): T {
  return entries.get(name) ?? fail(where, `no ${kind} "${name}"${didYouMean(name, entries.keys())}`, remedy);
}
