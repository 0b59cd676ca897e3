/**
 * @file Finds the labelled images in a list of paths, whether they come from a folder or from a zip archive: files that
 * lie directly in a folder NORMAL or PNEUMONIA (upper or lower case).
 *
 * The Kaggle archive holds chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}, a second copy of all of it in
 * chest_xray/chest_xray, and __MACOSX beside them. The seed takes the train folder only; so do we where there is one.
 */
import { fail } from '../base/index.ts';
import { patientOf } from './patient.ts';

/** The classes in the order of their label: NORMAL is 0, PNEUMONIA is 1 (the sorted order that PyTorch's ImageFolder gives). */
export const CLASSES = ['NORMAL', 'PNEUMONIA'] as const;
export type ClassName = (typeof CLASSES)[number];

export const SPLITS = ['train', 'val', 'test'] as const;
export type Split = (typeof SPLITS)[number];

export interface LabelledFile {
  /** Path inside the source, with `/`. */
  readonly path: string;
  readonly name: string;
  readonly label: ClassName;
  /** See {@link patientOf}. */
  readonly patient: string;
}

const EXPECTED =
  'expected a folder with NORMAL/ and PNEUMONIA/, or one that holds chest_xray/train/{NORMAL,PNEUMONIA}/';

/** Text order by Unicode code point: that of Python's `sorted`, and the same on every machine. */
export const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/**
 * The labelled files among these paths (with `/`), sorted by class, name, path. Of several folders with both classes it
 * takes `train`, then the one nearest to the top; hidden files and `__MACOSX` do not count.
 * `where` names the source in errors: no such folder, several, or a class without files.
 */
export function findLabelled(paths: readonly string[], where: string): LabelledFile[] {
  const byRoot = Map.groupBy(paths.flatMap(labelled), ({ root }) => root.join('/'));
  const complete = [...byRoot.values()].filter((found) =>
    CLASSES.every((label) => found.some((f) => f.label === label)),
  );
  if (complete.length === 0) return failWithout([...byRoot.values()], where);
  const trains = complete.filter((found) => found[0]!.root.at(-1)?.toLowerCase() === 'train');
  const candidates = trains.length > 0 ? trains : complete;
  const depth = Math.min(...candidates.map((found) => found[0]!.root.length));
  const [chosen, other] = candidates.filter((found) => found[0]!.root.length === depth);
  if (other) {
    const names = [chosen!, other].map((found) => `"${found[0]!.root.join('/')}"`).sort();
    fail(where, `several folders hold NORMAL/ and PNEUMONIA/: ${names.join(', ')}`, 'name the one you mean');
  }
  return chosen!
    .map(({ path, name, label }) => ({ path, name, label, patient: patientOf(name) }))
    .sort((a, b) => byCodePoint(a.label, b.label) || byCodePoint(a.name, b.name) || byCodePoint(a.path, b.path));
}

function labelled(path: string) {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.some((part) => part.startsWith('.') || part === '__MACOSX')) return [];
  const [name, folder] = [parts.at(-1), parts.at(-2)?.toUpperCase()];
  const label = CLASSES.find((known) => known === folder);
  return name === undefined || label === undefined ? [] : [{ path, name, label, root: parts.slice(0, -2) }];
}

function failWithout(incomplete: readonly { readonly label: ClassName }[][], where: string): never {
  const half = incomplete[0]?.[0];
  if (half === undefined) return fail(where, 'found no NORMAL/ or PNEUMONIA/ folder with files', EXPECTED);
  const empty = CLASSES.find((label) => label !== half.label);
  return fail(where, `found ${half.label}/ but no file in ${empty}/ beside it`, EXPECTED);
}
