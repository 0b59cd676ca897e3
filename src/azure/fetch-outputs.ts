/**
 * @file Brings an output of a step from its datastore on Azure Blob to a folder here, whole or not at all. Only what the orchestrator's
 * datastore holds for the user: evidence and models, never a silo's data.
 */
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TokenCredential } from '@azure/identity';
import { BlobServiceClient } from '@azure/storage-blob';
import { fail } from '../base/index.ts';
import { hashContent, parseDatastoreUri, type StepOutput } from '../workspace/index.ts';
import type { BlobPlace } from './azureml-client.ts';
import { explainAzure } from './errors.ts';

export interface FetchOptions {
  readonly credential: TokenCredential;
  readonly blobUrl: (account: string) => string;
  readonly place: BlobPlace;
  /** `azureml://datastores/<datastore>/paths/<path>`, complete. */
  readonly uri: string;
  /** Is replaced. */
  readonly folder: string;
}

/** More files than an output has. */
const MAX_FILES = 1000;
const CALL_TIMEOUT_MS = 600_000;

/** Fetches the files under the path. @throws FedradError where there are none, or the user may not read them */
export async function fetchOutput({ credential, blobUrl, place, uri, folder }: FetchOptions): Promise<StepOutput> {
  const { path } = parseDatastoreUri(uri);
  const container = new BlobServiceClient(blobUrl(place.account), credential).getContainerClient(place.container);
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  let files = 0;
  try {
    const abortSignal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    for await (const { name } of container.listBlobsFlat({ prefix: `${path}/`, abortSignal })) {
      if (++files > MAX_FILES) fail(uri, `it holds more than ${MAX_FILES} files`, 'this is not an output of fedrad');
      // Refuses names that lead out of the folder.
      const inside = parseDatastoreUri(`azureml://datastores/x/paths/${name}`, uri).path.slice(path.length + 1);
      const file = join(partial, inside);
      await mkdir(dirname(file), { recursive: true });
      await container.getBlobClient(name).downloadToFile(file, 0, undefined, { abortSignal });
    }
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw explainAzure(uri, error);
  }
  if (files === 0) fail(uri, 'nothing lies there', 'look at the step in Azure ML studio');
  const { sha256, bytes } = await hashContent(partial);
  await rm(folder, { recursive: true, force: true });
  await rename(partial, folder);
  return { path: uri, sha256, bytes };
}
