/**
 * @file Where the inputs of a step lie on this machine: in the hospital's own datastores, in a folder that it named for import, or as
 * objects that the orchestrator left. What an earlier step left must still be what it was.
 */
import { realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { FedradError, fail } from '../base/index.ts';
import type { Work } from '../messaging/index.ts';
import { codeOf, type LocalDatastore, parseDatastoreUri, type StepOutput } from '../workspace/index.ts';
import type { Held } from './object-cache.ts';

export interface InputPlaces {
  readonly datastores: ReadonlyMap<string, LocalDatastore>;
  /** Real paths of the folders that data may be imported from. */
  readonly imports: readonly string[];
  /** Content of somebody else's datastore; undefined when it is gone. */
  readonly takeObject: (output: StepOutput) => Promise<Held | undefined>;
}

export type Inputs =
  | { readonly kind: 'there'; readonly paths: ReadonlyMap<string, string>; readonly release: () => void }
  | { readonly kind: 'lost'; readonly names: readonly string[] };

/** Finds the inputs of work that the site allows. @throws FedradError for data that is not there, or may not be read */
export async function findInputs({ step, inputs }: Work, places: InputPlaces): Promise<Inputs> {
  const where = `step ${step.id}`;
  const paths = new Map<string, string>();
  const held: Held[] = [];
  const lost: string[] = [];
  const release = (): void => {
    for (const each of held) each[Symbol.dispose]();
  };
  try {
    for (const [name, input] of Object.entries(step.inputs)) {
      if (input.from === 'local') paths.set(name, await importable(input.path, places.imports, where));
      if (input.from === 'datastore') paths.set(name, await ownData(input.path, places.datastores, where));
      const output = inputs[name];
      if (input.from !== 'step' || !output) continue;
      const { datastore, path } = parseDatastoreUri(output.path, where);
      const own = places.datastores.get(datastore);
      if (own) {
        if (await isSame(own, path, output.sha256)) paths.set(name, own.localPath(path));
        else lost.push(name);
        continue;
      }
      const object = await places.takeObject(output);
      if (object) {
        held.push(object);
        paths.set(name, object.path);
      } else lost.push(name);
    }
  } catch (error) {
    release();
    throw error;
  }
  if (lost.length === 0) return { kind: 'there', paths, release };
  release();
  return { kind: 'lost', names: lost };
}

/** Whether the path of the datastore still has this content. */
export async function isSame(datastore: LocalDatastore, path: string, sha256: string): Promise<boolean> {
  return (await datastore.exists(path)) && (await datastore.hash(path)).sha256 === sha256;
}

async function ownData(uri: string, datastores: ReadonlyMap<string, LocalDatastore>, where: string): Promise<string> {
  const { datastore, path } = parseDatastoreUri(uri, where);
  const own = datastores.get(datastore) ?? fail(where, `no datastore ${datastore} here`);
  if (!(await own.exists(path))) fail(where, `there are no data in ${datastore}`, 'fedrad submit upload-data first');
  return own.localPath(path);
}

/** The real path, if it lies in a folder that the hospital has named. Does not say whether something lies elsewhere. */
async function importable(path: string, imports: readonly string[], where: string): Promise<string> {
  const refuse = (): never =>
    fail(where, 'the source is in no folder that this hospital imports from', 'at the hospital: fedrad agent --import');
  try {
    const real = await realpath(path);
    return imports.some((folder) => real === folder || real.startsWith(folder.replace(/[/\\]$/, '') + sep))
      ? real
      : refuse();
  } catch (error) {
    if (error instanceof FedradError) throw error;
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP'].includes(codeOf(error) ?? '')) return refuse();
    throw error;
  }
}
