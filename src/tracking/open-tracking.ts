/** @file Opens what a tracking URI names, with the credentials that MLflow's own environment variables hold. */
import { fail } from '../base/index.ts';
import { folderStore } from './folder-store.ts';
import type { RestServer } from './rest-call.ts';
import { restStore } from './rest-store.ts';
import type { TrackingStore } from './store.ts';
import { parseTrackingUri, type TrackingPlace } from './tracking-uri.ts';

export interface TrackingOptions {
  /**
   * MLFLOW_TRACKING_USERNAME with MLFLOW_TRACKING_PASSWORD, else MLFLOW_TRACKING_TOKEN; for `azureml://` also AZUREML_RUN_TOKEN, which
   * goes to no other server. Default: nobody signs in.
   */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Ends calls that are under way; each one also ends by itself, after five tries. */
  readonly signal?: AbortSignal;
  /** The pause before another try, in milliseconds; default a real one. */
  readonly wait?: RestServer['wait'];
  /** Milliseconds since 1970; default the clock. */
  readonly now?: () => number;
}

/**
 * Opens an MLflow server (`https://…`, `http://…`, `azureml://…`) or an mlruns folder (`file:…`, a path) for metrics and parameters.
 * Nothing is asked or written yet.
 *
 * @throws FedradError for a URI of another kind, or credentials that cannot be sent
 */
export function openTracking(uri: string | TrackingPlace, options: TrackingOptions = {}): TrackingStore {
  const { environment = {}, signal = new AbortController().signal, wait, now = Date.now } = options;
  const place = typeof uri === 'string' ? parseTrackingUri(uri) : uri;
  if (place.kind === 'folder') return folderStore(place.path, now);
  const authorization = authorizationOf(place, environment);
  return restStore({
    url: place.url,
    signal,
    ...(authorization === undefined ? {} : { authorization }),
    ...(wait === undefined ? {} : { wait }),
  });
}

/** As MLflow's client chooses: the address itself, then name and password, then the token. */
function authorizationOf(
  { azure, login }: TrackingPlace & { kind: 'server' },
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const basic = (user: string, password: string): string =>
    `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
  if (login) return basic(login.user, login.password);
  const { MLFLOW_TRACKING_USERNAME: user, MLFLOW_TRACKING_PASSWORD: password } = environment;
  if (user && password) return basic(user, password);
  const token = (environment['MLFLOW_TRACKING_TOKEN'] || (azure ? environment['AZUREML_RUN_TOKEN'] : '') || '').trim();
  // What fetch says of a header that it cannot send quotes it.
  if (!/^[\x21-\x7e]*$/.test(token))
    fail('MLFLOW_TRACKING_TOKEN', 'it holds characters that no token has', 'set it again');
  return token === '' ? undefined : `Bearer ${token}`;
}
