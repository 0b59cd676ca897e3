/**
 * @file An Azure ML workspace over its published APIs: the resource manager (Microsoft.MachineLearningServices 2022-10-01, by Microsoft's
 * own client), and run history, which alone tells the steps of a pipeline and their logs (`history/v1.0`, as azure-ai-ml uses it).
 *
 * Microsoft's client tries again where Azure says 429 or 5xx and honours Retry-After; each call has a deadline beside that. Nothing here
 * writes into a datastore.
 */
import type {
  AmlCompute,
  AzureBlobDatastore,
  ComponentVersion,
  JobBase,
  PipelineJob as RestPipelineJob,
} from '@azure/arm-machinelearning';
import type { TokenCredential } from '@azure/identity';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { didYouMean } from '../workspace/index.ts';
import { explainAzure, explained, statusOf } from './errors.ts';
import { STEP_TAG } from './pipeline-job.ts';
import { type WorkspaceAddress, type WorkspacePart, workspaceParts } from './pipeline-job-rest.ts';

export interface AzureMlOptions {
  readonly credential: TokenCredential;
  readonly address: WorkspaceAddress;
  /** Base URL of the resource manager. */
  readonly resourceManager: string;
  /** Scope of tokens for run history; default that of the public cloud. */
  readonly dataScope?: string;
}

/** A blob container that a datastore stands for. */
export interface BlobPlace {
  readonly account: string;
  readonly container: string;
}

/** One step of a pipeline, as run history tells it. */
export interface ChildRun {
  /** Azure ML's own name of the step's run. */
  readonly runId: string;
  /** The step's id in the graph. */
  readonly step: string;
  /** By the words of Azure ML: NotStarted, Queued, Preparing, Running, Completed, Failed, Canceled and others. */
  readonly status: string;
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly error?: string;
}

export interface JobStanding {
  readonly status: string;
  /** Address of the job in Azure ML studio. */
  readonly studio?: string;
}

export interface AzureMl {
  readonly address: WorkspaceAddress;
  readonly part: WorkspacePart;
  /** Name of the workspace's key vault; undefined where it has none. */
  readonly keyVault: string | undefined;
  /** GPUs of one node of a cluster of Azure ML; 0 for a compute of another kind, of which Azure does not tell. @throws FedradError where there is no such compute */
  gpus(compute: string, where: string): Promise<number>;
  /** @throws FedradError where there is no such datastore, or it is not on Azure Blob */
  blobPlace(datastore: string, where: string): Promise<BlobPlace>;
  hasEnvironment(name: string, version: string): Promise<boolean>;
  /** Registers it; one that is there with the same name and version is left as it is. */
  putComponent(name: string, version: string, body: ComponentVersion): Promise<void>;
  submit(job: string, body: JobBase): Promise<JobStanding>;
  /** undefined: the workspace knows no such job. */
  job(name: string): Promise<JobStanding | undefined>;
  /** Asks for it; the job ends later. @throws FedradError where there is no such job */
  cancel(name: string): Promise<void>;
  children(job: string): Promise<readonly ChildRun[]>;
  /** The text of a run's first log of such a path; undefined while there is none. */
  log(runId: string, path: RegExp): Promise<string | undefined>;
}

const CALL_TIMEOUT_MS = 120_000;
/** A log of more is cut: its end is kept. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;
/** Run history gives children in pages. */
const MAX_PAGES = 100;
const DATA_SCOPE = 'https://ml.azure.com/.default';

const childSchema = z.object({
  runId: z.string(),
  status: z.string(),
  displayName: z.string().nullish(),
  startTimeUtc: z.string().nullish(),
  endTimeUtc: z.string().nullish(),
  tags: z.record(z.string(), z.string().nullable()).nullish(),
  error: z.object({ error: z.object({ message: z.string().nullish() }).nullish() }).nullish(),
});
const childrenSchema = z.object({ value: z.array(childSchema), continuationToken: z.string().nullish() });
const detailsSchema = z.object({ logFiles: z.record(z.string(), z.string()).nullish() });

/** Opens a workspace. @throws FedradError where there is no such workspace or the sign-in may not see it */
export async function openAzureMl(options: AzureMlOptions): Promise<AzureMl> {
  const { credential, address, resourceManager, dataScope = DATA_SCOPE } = options;
  const { subscriptionId, resourceGroup: group, workspaceName: name } = address;
  const { AzureMachineLearningWorkspaces } = await import('@azure/arm-machinelearning');
  const client = new AzureMachineLearningWorkspaces(credential, subscriptionId, {
    endpoint: resourceManager,
    $host: resourceManager,
    credentialScopes: [`${resourceManager.replace(/\/$/, '')}/.default`],
  });
  const part = workspaceParts(address);
  const where = `workspace ${name} in ${group}`;
  const within = () => ({ abortSignal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
  const workspace = await explained(where, () => client.workspaces.get(group, name, within()));
  const host = historyHost(workspace.mlFlowTrackingUri, workspace.location, where);
  /** By region: not every size is in every one. */
  const sizes = new Map<string, ReadonlyMap<string, number>>();

  const gpuSizes = async (location: string): Promise<ReadonlyMap<string, number>> => {
    const known = sizes.get(location);
    if (known) return known;
    const { value = [] } = await explained(where, () => client.virtualMachineSizes.list(location, within()));
    const found = new Map(value.map((size) => [(size.name ?? '').toLowerCase(), size.gpus ?? 0]));
    sizes.set(location, found);
    return found;
  };
  const names = async (pages: AsyncIterable<{ name?: string }>): Promise<string[]> => {
    const found: string[] = [];
    for await (const { name: each } of pages) if (each !== undefined && found.push(each) >= 200) break;
    return found;
  };
  /** undefined: there is no such thing. */
  const lookUp = async <T>(at: string, action: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await action();
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw explainAzure(at, error);
    }
  };
  const history = async <T>(path: string, schema: z.ZodType<T>): Promise<T> => {
    const url = `${host}/history/v1.0${part('runs', path)}`;
    const token = await explained(where, () => credential.getToken(dataScope, within()));
    const headers = { authorization: `Bearer ${token?.token ?? ''}` };
    const answer = await explained(where, () => fetchPatiently(url, { headers }, (response) => response.json()));
    const checked = schema.safeParse(answer);
    return checked.success
      ? checked.data
      : fail(
          where,
          `run history answers with something else than it should: ${path}`,
          'look at the connection: a proxy?',
        );
  };

  return {
    address,
    part,
    keyVault: workspace.keyVault?.split('/').at(-1),
    gpus: async (compute, at) => {
      const found = await lookUp(at, () => client.computeOperations.get(group, name, compute, within()));
      if (!found?.properties) {
        const known = await explained(at, () => names(client.computeOperations.list(group, name)));
        return fail(
          at,
          `workspace ${name} has no compute "${compute}"${didYouMean(compute, known)}`,
          'fedrad provision',
        );
      }
      const { properties } = found;
      const size = properties.computeType === 'AmlCompute' ? (properties as AmlCompute).properties?.vmSize : undefined;
      if (size === undefined) return 0;
      const location = properties.computeLocation ?? workspace.location ?? '';
      return (await gpuSizes(location)).get(size.toLowerCase()) ?? 0;
    },
    blobPlace: async (datastore, at) => {
      const found = await lookUp(at, () => client.datastores.get(group, name, datastore, within()));
      if (!found) {
        const known = await explained(at, () => names(client.datastores.list(group, name)));
        return fail(
          at,
          `workspace ${name} has no datastore "${datastore}"${didYouMean(datastore, known)}`,
          'fedrad provision',
        );
      }
      const { datastoreType, accountName, containerName } = found.properties as AzureBlobDatastore;
      if (datastoreType !== 'AzureBlob' || !accountName || !containerName) {
        return fail(at, `datastore ${datastore} is ${datastoreType}`, 'use one on Azure Blob storage');
      }
      return { account: accountName, container: containerName };
    },
    hasEnvironment: async (environment, version) =>
      (await lookUp(where, () => client.environmentVersions.get(group, name, environment, version, within()))) !==
      undefined,
    putComponent: async (component, version, body) => {
      const at = `component ${component}:${version}`;
      if (await lookUp(at, () => client.componentVersions.get(group, name, component, version, within()))) return;
      await explained(at, () =>
        client.componentVersions.createOrUpdate(group, name, component, version, body, within()),
      );
    },
    submit: async (job, body) =>
      standing(await explained(`job ${job}`, () => client.jobs.createOrUpdate(group, name, job, body, within()))),
    job: async (job) => {
      const found = await lookUp(`job ${job}`, () => client.jobs.get(group, name, job, within()));
      return found && standing(found);
    },
    cancel: async (job) => {
      await explained(`job ${job}`, () => client.jobs.beginCancel(group, name, job, within()));
    },
    children: async (job) => {
      const runs: z.infer<typeof childSchema>[] = [];
      let continued = '';
      for (let page = 0; page < MAX_PAGES; page++) {
        const { value, continuationToken } = await history(`${job}/children${continued}`, childrenSchema);
        runs.push(...value);
        if (!continuationToken) break;
        continued = `?$continuationtoken=${encodeURIComponent(continuationToken)}`;
      }
      return runs.map(childOf);
    },
    log: async (runId, path) => {
      const { logFiles } = await history(`${runId}/details`, detailsSchema);
      const found = Object.keys(logFiles ?? {}).sort();
      // The address carries its own permission (SAS); no token goes there.
      const url = logFiles?.[found.find((each) => path.test(each)) ?? ''];
      if (url === undefined) return undefined;
      return explained(`log of ${runId}`, () => fetchPatiently(url, {}, tailOf));
    },
  };
}

function childOf({ runId, status, displayName, startTimeUtc, endTimeUtc, tags, error }: z.infer<typeof childSchema>) {
  const message = error?.error?.message;
  return {
    runId,
    step: tags?.[STEP_TAG] ?? displayName ?? runId,
    status,
    ...(startTimeUtc ? { startedAt: startTimeUtc } : {}),
    ...(endTimeUtc ? { endedAt: endTimeUtc } : {}),
    ...(message ? { error: message } : {}),
  };
}

function standing({ properties }: JobBase): JobStanding {
  const { status, services } = properties as RestPipelineJob;
  const studio = services?.['Studio']?.endpoint;
  return { status: status ?? 'NotStarted', ...(studio === undefined ? {} : { studio }) };
}

/** The region's own host, which the workspace's MLflow address names: `azureml://westeurope.api.azureml.ms/mlflow/v1.0/…`. */
function historyHost(tracking: string | undefined, location: string | undefined, where: string): string {
  if (tracking !== undefined && URL.canParse(tracking)) return `https://${new URL(tracking).host}`;
  if (location !== undefined) return `https://${location}.api.azureml.ms`;
  return fail(where, 'Azure does not say in which region it is');
}

/** The end of a body as text. */
async function tailOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    while (chunks.length > 1 && bytes - chunks[0]!.length >= MAX_LOG_BYTES) bytes -= chunks.shift()!.length;
  }
  return Buffer.concat(chunks).toString('utf8');
}

const ATTEMPTS = 4;

/** GET, again after 429, 5xx, broken connections and bodies, at most four times; other answers than 2xx are thrown with their `statusCode`. */
async function fetchPatiently<T>(url: string, init: RequestInit, read: (response: Response) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    let problem: unknown;
    let waitMs = 1000 * 2 ** (attempt - 1);
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
      if (response.ok) return await read(response);
      const seconds = Number(response.headers.get('retry-after'));
      if (seconds > 0) waitMs = Math.min(seconds, 60) * 1000;
      const text = (await response.text()).slice(0, 500);
      problem = Object.assign(new Error(`HTTP ${response.status}: ${text}`), { statusCode: response.status });
      if (response.status !== 429 && response.status < 500) throw problem;
    } catch (error) {
      if (statusOf(error) !== undefined && error === problem) throw error;
      problem = error;
    }
    if (attempt >= ATTEMPTS) throw problem;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
