/** @file What a datastore is, and how a path in one is written: `azureml://datastores/<datastore>/paths/<path>`. */
import { fail } from '../base/index.ts';
import type { ContentHash } from './content-hash.ts';
import { UNFINISHED } from './disk.ts';

/**
 * Where a compute's data lies. Paths are relative, separated by `/`, and never leave the datastore: `..`, absolute
 * paths, NUL and backslashes are refused by every function.
 */
export interface Datastore {
  readonly name: string;
  /** Paths of the files under a folder (`''` is the whole datastore), sorted; none when there is no such folder. */
  list(folder: string): Promise<readonly string[]>;
  exists(path: string): Promise<boolean>;
  /** The hash and size of the file or folder. */
  hash(path: string): Promise<ContentHash>;
  /**
   * Moves a finished file or folder from anywhere on this machine to its path, atomically: readers see nothing or all
   * of it, also after a power cut. What lies there already stays: the same content is success, other content an error.
   *
   * @param options.replace puts it in the place of other content (default false). A file goes over in one step; between
   *   an old folder and a new one readers may see nothing for a moment, and after a kill there either comes back whole
   */
  publish(finished: string, path: string, options?: { readonly replace?: boolean }): Promise<ContentHash>;
  /**
   * Copies the file or folder to `target` on this machine, in the place of what lies there: all of it, or nothing is
   * changed. Its parent folder must exist.
   */
  fetch(path: string, target: string): Promise<ContentHash>;
  /** Removes a file or folder; nothing there is success. */
  remove(path: string): Promise<void>;
}

/** A datastore on a disk of this machine, which a step can read in place. */
export interface LocalDatastore extends Datastore {
  /** The path on disk, whether or not something lies there. Refuses links that lead out. */
  localPath(path: string): string;
}

export interface DatastorePath {
  readonly datastore: string;
  /** Relative to the datastore, without a final `/`. */
  readonly path: string;
}

const URI = /^azureml:\/\/datastores\/([^/]+)\/paths\/(.+)$/s;

/** Splits `azureml://datastores/<datastore>/paths/<path>`; `where` is its place. @throws FedradError for anything else */
export function parseDatastoreUri(uri: string, where = 'path'): DatastorePath {
  const [, datastore, path] =
    URI.exec(uri) ??
    fail(
      where,
      `expected a path in a datastore, got ${JSON.stringify(uri)}`,
      'write azureml://datastores/<datastore>/paths/<path>, for example azureml://datastores/datastore_silo0/paths/pneumonia',
    );
  return { datastore: datastore!, path: checkDatastorePath(path!, uri) };
}

/** The path without a final `/`. @throws FedradError unless it is relative, contained and written in one way only */
export function checkDatastorePath(path: string, where: string): string {
  const trimmed = path.replace(/\/$/, '');
  const refuse = (problem: string): never =>
    fail(
      where,
      `path ${JSON.stringify(path)}: ${problem}`,
      'write a path inside the datastore, such as pneumonia/train',
    );
  if (trimmed === '') return refuse('expected a file or folder, got nothing');
  if (path.startsWith('/')) return refuse('expected a relative path, got an absolute one');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must be found
  if (/[\u0000-\u001f\u007f\\]/.test(path)) return refuse('it holds a backslash or a control character');
  for (const segment of trimmed.split('/')) {
    if (segment === '') return refuse('it holds an empty name');
    if (segment === '.' || segment === '..') return refuse(`it holds "${segment}"`);
    if (segment.startsWith(UNFINISHED)) return refuse(`names that begin with ${UNFINISHED} are fedrad's own`);
  }
  return trimmed;
}
