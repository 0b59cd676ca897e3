/**
 * @file What MLFLOW_TRACKING_URI may say: a server (`https://…`, `http://…`, Azure ML's `azureml://…`), or a folder (`file:…`, a path).
 * MLflow's own databases and Databricks are not among them: fedrad speaks to a server in front of them.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail } from '../base/index.ts';

export type TrackingPlace =
  | {
      readonly kind: 'server';
      /** Base URL in front of `/api/2.0/mlflow`, without credentials or a slash at its end. */
      readonly url: string;
      readonly azure: boolean;
      /** From the address itself, `https://user:password@host`. */
      readonly login?: { readonly user: string; readonly password: string };
    }
  | { readonly kind: 'folder'; readonly path: string };

const WHERE = 'MLFLOW_TRACKING_URI';
const REMEDY = 'give https://…, http://…, azureml://…, file:<folder> or a folder; for others start mlflow server';

/**
 * Reads a tracking URI. Azure ML's scheme stands for HTTPS, as its plugin for MLflow has it; what is behind a "?" is for that plugin alone.
 *
 * @param currentFolder what a relative path starts from
 */
export function parseTrackingUri(uri: string, currentFolder: string = process.cwd()): TrackingPlace {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(uri)?.[1]?.toLowerCase();
  if (uri.trim() === '' || uri === 'databricks' || uri === 'databricks-uc') return unusable(uri);
  switch (scheme) {
    case undefined:
      return { kind: 'folder', path: resolve(currentFolder, uri) };
    case 'file':
      return { kind: 'folder', path: folderOf(uri, currentFolder) };
    case 'http':
    case 'https':
      return server(uri, false);
    case 'azureml':
      return server(uri.replace(/^[^:]+/, 'https').replace(/[?#].*$/, ''), true);
    default:
      return unusable(`${scheme}:`);
  }
}

/** `file:///folder`, and `file:folder` as MLflow understands it: from the current folder. */
function folderOf(uri: string, currentFolder: string): string {
  const rest = uri.slice('file:'.length);
  if (!rest.startsWith('/')) return rest === '' ? unusableFolder(uri) : resolve(currentFolder, rest);
  try {
    return fileURLToPath(uri);
  } catch {
    return unusableFolder(uri);
  }
}

const unusableFolder = (uri: string): never => fail(WHERE, `"${uri}" names no folder of this machine`, REMEDY);
const unusable = (what: string): never => fail(WHERE, `fedrad does not log to "${what}"`, REMEDY);

function server(address: string, azure: boolean): TrackingPlace {
  if (!URL.canParse(address)) return fail(WHERE, 'it is no address of a server', REMEDY);
  const url = new URL(address);
  const { username, password } = url;
  if (url.search !== '' || url.hash !== '') fail(WHERE, 'an address of a server ends before any "?" or "#"', REMEDY);
  const login =
    username === '' ? {} : { login: { user: decodeURIComponent(username), password: decodeURIComponent(password) } };
  return { kind: 'server', url: `${url.origin}${url.pathname.replace(/\/+$/, '')}`, azure, ...login };
}

/** The address or folder as text: what is stored, and said in messages. */
export function placeText(place: TrackingPlace): string {
  if (place.kind === 'folder') return place.path;
  return place.azure ? place.url.replace(/^https/, 'azureml') : place.url;
}
