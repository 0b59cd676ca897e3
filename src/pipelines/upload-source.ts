/**
 * @file Where data upload takes images from, as `data.source` says it: a source that a step reads or makes by itself
 * (radiographs/source.ts), or a folder or zip archive in a datastore, by Azure ML's address of it.
 */
import { FedradError, fail } from '../base/index.ts';
import { parseSource, type Source } from '../radiographs/index.ts';
import { parseDatastoreUri } from '../workspace/index.ts';

/** Stands for the datastore of each silo, which then holds that silo's own images. */
export const OWN_DATASTORE = '${{silo.datastore}}';

export interface DatastoreSource {
  readonly kind: 'datastore';
  /** undefined: of each silo its own. */
  readonly datastore: string | undefined;
  readonly path: string;
  /** By its name: `.zip` is an archive. */
  readonly holds: 'folder' | 'zip';
}

export type UploadSource = Source | DatastoreSource;

/** Reads `data.source`. @throws FedradError with the choices */
export function parseUploadSource(text: string): UploadSource {
  if (text.startsWith('azureml:')) {
    const { datastore, path } = parseDatastoreUri(text, 'source');
    return {
      kind: 'datastore',
      datastore: datastore === OWN_DATASTORE ? undefined : datastore,
      path,
      holds: /\.zip$/i.test(path) ? 'zip' : 'folder',
    };
  }
  try {
    return parseSource(text);
  } catch (error) {
    if (!(error instanceof FedradError)) throw error;
    const remedy = `images in a datastore: azureml://datastores/${OWN_DATASTORE}/paths/<folder or archive.zip>`;
    return fail(error.where, error.problem, `${error.remedy}; ${remedy}`, error);
  }
}
