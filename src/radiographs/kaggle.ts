/** @file The Kaggle archive of a data set, downloaded with the credentials of the hospital's key vault. */
import { fail } from '../base/index.ts';
import { download } from './download.ts';
import type { Limits } from './limits.ts';

export interface KaggleCredentials {
  /** Secret `kaggleusername`. */
  readonly username: string;
  /** Secret `kagglekey`. */
  readonly key: string;
}

export interface KaggleRequest {
  readonly baseUrl: string;
  /** `<owner>/<dataset>`. */
  readonly dataset: string;
  readonly credentials: KaggleCredentials | undefined;
  /** File to write the zip archive to. */
  readonly file: string;
  readonly limits: Limits;
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

const SET_SECRETS =
  'set both secrets from kaggle.com > Settings > API: fedrad keyvault secret set --vault-name <vault> --name kaggleusername, and the same with --name kagglekey';

/** Downloads the archive of a Kaggle data set (API v1, HTTP Basic). Throws one clear line; the key is in none. */
export async function downloadKaggle({ baseUrl, dataset, credentials, ...request }: KaggleRequest): Promise<void> {
  const where = `Kaggle data set ${dataset}`;
  const { username, key } = credentials ?? fail(where, 'needs the secrets kaggleusername and kagglekey', SET_SECRETS);
  await download({
    ...request,
    where,
    url: `${baseUrl.replace(/\/+$/, '')}/api/v1/datasets/download/${dataset}`,
    authorization: `Basic ${Buffer.from(`${username}:${key}`).toString('base64')}`,
    refused: (status) => {
      if (status === 401 || status === 403) {
        return fail(where, `Kaggle refused the credentials (HTTP status ${status})`, SET_SECRETS);
      }
      if (status === 404) {
        return fail(
          where,
          `no such data set at ${new URL(baseUrl).host} (HTTP status 404)`,
          'check its name: <owner>/<dataset>',
        );
      }
      return fail(where, `download refused with HTTP status ${status}`, 'try again later');
    },
  });
}
