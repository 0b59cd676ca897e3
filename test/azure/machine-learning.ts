/**
 * @file Stand-in for Azure Machine Learning: workspaces, computes, datastores, environments, component versions and jobs of the resource
 * manager (Microsoft.MachineLearningServices, api-version 2022-10-01, as the models of @azure/arm-machinelearning 2.1.1 describe it). Run
 * history is in run-history.ts. Bodies are checked: required fields, enums, names (machine-learning-bodies.ts), and that everything they refer to is there. A job that is
 * accepted is executed.
 */
import { z } from 'zod';
import type { Azurite } from './azurite.ts';
import {
  type ComponentSpec,
  componentVersionSchema,
  environmentVersionSchema,
  type JobBody,
  type JobNode,
  jobSchema,
} from './machine-learning-bodies.ts';
import { executeJob } from './machine-learning-executor.ts';
import type { Mlflow } from './mlflow.ts';
import { runHistory } from './run-history.ts';
import type { Api, ApiReply, ApiRequest } from './stand-in.ts';

export interface DatastoreState {
  readonly account: string;
  readonly container: string;
}

export interface ComputeState {
  readonly vmSize: string;
  /** Default: the workspace's. */
  readonly location?: string;
  /** Datastores that its identity may read and write. */
  readonly datastores: readonly string[];
}

export interface ChildState {
  readonly runId: string;
  readonly node: string;
  status: string;
  startedAt?: string;
  endedAt?: string;
  error?: string;
  /** Address of its log, with its own permission, by its path. */
  logFiles?: Readonly<Record<string, string>>;
}

export interface JobState {
  readonly name: string;
  readonly body: JobBody;
  status: string;
  readonly children: ChildState[];
  readonly cancel: AbortController;
  /** How often somebody has asked whether it is canceled. */
  cancelLooks: number;
}

export interface WorkspaceState {
  readonly location: string;
  /** Id of its key vault. */
  readonly keyVault: string;
  /** Its own storage, which holds the logs. */
  readonly logs: DatastoreState;
  readonly computes: Map<string, ComputeState>;
  readonly datastores: Map<string, DatastoreState>;
  /** `<name>/versions/<version>` */
  readonly environments: Set<string>;
  readonly components: Map<string, ComponentSpec>;
  readonly jobs: Map<string, JobState>;
}

export interface MachineLearning {
  /** By `/subscriptions/…/workspaces/<name>`. */
  readonly workspaces: Map<string, WorkspaceState>;
  readonly subscriptions: ReadonlySet<string>;
  /** How often a cancelation is not over yet when it is asked for. */
  readonly cancelLooks: number;
  readonly azurite: Azurite;
  /** Holds the steps' folders. */
  readonly folder: string;
  /** Until it resolves the computes have no nodes, and steps are queued. */
  nodes?: Promise<void>;
  /** What a step's process finds to sign in as its compute. */
  readonly signIn?: (compute: string) => Readonly<Record<string, string>>;
  /** The MLflow of its workspaces; a step finds its own run there, as a job of Azure ML does. */
  readonly tracking?: {
    readonly mlflow: Mlflow;
    /** What a step's process is told: MLFLOW_TRACKING_URI and how to sign in. */
    readonly environment: Readonly<Record<string, string>>;
  };
}

export const ok = (body: unknown, status = 200): ApiReply => ({ status, body });
export const refuse = (status: number, code: string, message: string): ApiReply => ({
  status,
  body: { error: { code, message } },
});
const OVER = new Set(['Completed', 'Failed', 'Canceled']);
const VERSIONS = new Set(['2022-10-01']);
const WORKSPACE =
  /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/providers\/Microsoft\.MachineLearningServices\/workspaces\/([^/]+)(\/.*)?$/;
const SIZES = /^\/subscriptions\/([^/]+)\/providers\/Microsoft\.MachineLearningServices\/locations\/([^/]+)\/vmSizes$/;
/** GPUs of the sizes that tests use, and the one region that has it where not all have. */
const VM_SIZES = [
  { name: 'Standard_DS3_v2', gpus: 0 },
  { name: 'Standard_DS4_v2', gpus: 0 },
  { name: 'Standard_NC6s_v3', gpus: 1 },
  { name: 'Standard_NC12s_v3', gpus: 2 },
  { name: 'Standard_NC24s_v3', gpus: 4, only: 'westus' },
];

/** The API over these workspaces. */
export function machineLearningApi(state: MachineLearning): Api {
  return async (request) => {
    if (request.path.startsWith('/history/v1.0/')) return runHistory(state.workspaces, request);
    const [, sizesOf, location] = SIZES.exec(request.path) ?? [];
    const [, workspaceSubscription, , workspaceName, rest = ''] = WORKSPACE.exec(request.path) ?? [];
    const subscription = sizesOf ?? workspaceSubscription;
    if (subscription === undefined) return undefined;
    if (!VERSIONS.has(request.query.get('api-version') ?? ''))
      return refuse(400, 'InvalidApiVersionParameter', `the api-version is ${request.query.get('api-version')}`);
    if (!state.subscriptions.has(subscription))
      return refuse(404, 'SubscriptionNotFound', `The subscription '${subscription}' could not be found.`);
    if (sizesOf !== undefined)
      return ok({
        value: VM_SIZES.flatMap(({ only, ...size }) => (only === undefined || only === location ? [size] : [])),
      });
    const id = request.path.slice(0, request.path.length - rest.length);
    const workspace = state.workspaces.get(id);
    if (!workspace) return refuse(404, 'ResourceNotFound', `The workspace '${workspaceName}' was not found.`);
    if (rest === '') return ok(workspaceBody(id, workspace, request.headers.host ?? ''));
    return part(state, id, workspace, rest, request);
  };
}

const workspaceBody = (id: string, { location, keyVault }: WorkspaceState, host: string) => ({
  id,
  name: id.split('/').at(-1),
  location,
  properties: {
    keyVault,
    mlFlowTrackingUri: `azureml://${host}/mlflow/v1.0${id}`,
    provisioningState: 'Succeeded',
  },
});

async function part(
  state: MachineLearning,
  id: string,
  workspace: WorkspaceState,
  rest: string,
  { method, path, body, headers }: ApiRequest,
): Promise<ApiReply> {
  const [, kind = '', first, second, third] = rest.split('/');
  const gone = refuse(404, 'ResourceNotFound', `${kind} ${first} was not found.`);
  const named = (properties: unknown, at = path): ApiReply => ok({ id: at, name: at.split('/').at(-1), properties });
  switch (`${method} ${kind}`) {
    case 'GET computes': {
      if (first === undefined)
        return ok({
          value: [...workspace.computes].map(([each, found]) => ({
            name: each,
            properties: compute(found, workspace),
          })),
        });
      const found = workspace.computes.get(first);
      return found ? named(compute(found, workspace)) : gone;
    }
    case 'GET datastores': {
      if (first === undefined)
        return ok({
          value: [...workspace.datastores].map(([each, found]) => ({ name: each, properties: datastore(found) })),
        });
      const found = workspace.datastores.get(first);
      return found ? named(datastore(found)) : gone;
    }
    case 'GET environments':
      return workspace.environments.has(`${first}/${second}/${third}`) ? named({ isAnonymous: false }) : gone;
    case 'PUT environments': {
      if (second !== 'versions' || third === undefined) return gone;
      const checked = environmentVersionSchema.safeParse(body);
      if (!checked.success) return refuse(400, 'UserError', z.prettifyError(checked.error));
      workspace.environments.add(`${first}/${second}/${third}`);
      return { ...named(checked.data.properties), status: 201 };
    }
    case 'GET components': {
      const found = workspace.components.get(`${first}/${second}/${third}`);
      return found ? named({ componentSpec: found }) : gone;
    }
    case 'PUT components': {
      const checked = componentVersionSchema.safeParse(body);
      if (!checked.success) return refuse(400, 'UserError', z.prettifyError(checked.error));
      const { componentSpec: spec } = checked.data.properties;
      const problem = componentProblem(spec, id, workspace, first, third);
      if (problem !== undefined) return refuse(400, 'UserError', problem);
      const known = workspace.components.get(`${first}/versions/${third}`);
      if (known && JSON.stringify(known) !== JSON.stringify(spec))
        return refuse(409, 'UserError', `component ${first}:${third} exists with other content`);
      workspace.components.set(`${first}/versions/${third}`, spec);
      return { ...named({ componentSpec: spec }), status: 201 };
    }
    case 'GET jobs': {
      const job = workspace.jobs.get(first ?? '');
      if (job && second === 'canceled') {
        job.cancelLooks += 1;
        if (job.cancelLooks <= state.cancelLooks)
          return {
            status: 202,
            headers: { location: `https://${headers.host}${path}?api-version=2022-10-01`, 'retry-after': '1' },
          };
        return { status: 200 };
      }
      return job ? ok(jobReply(path, job)) : gone;
    }
    case 'PUT jobs': {
      const checked = jobSchema.safeParse(body);
      if (!checked.success) return refuse(400, 'UserError', z.prettifyError(checked.error));
      const known = workspace.jobs.get(first ?? '');
      // The same request again, because an answer was lost.
      if (known && JSON.stringify(known.body) === JSON.stringify(checked.data)) return ok(jobReply(path, known));
      if (known) return refuse(409, 'UserError', `job ${first} exists`);
      const problem = jobProblem(checked.data, id, workspace);
      if (problem !== undefined) return refuse(400, 'UserError', problem);
      const job: JobState = {
        name: first!,
        body: checked.data,
        status: 'NotStarted',
        children: [],
        cancel: new AbortController(),
        cancelLooks: 0,
      };
      workspace.jobs.set(first!, job);
      void executeJob(state, workspace, job);
      return { ...ok(jobReply(path, job)), status: 201 };
    }
    case 'POST jobs': {
      const job = workspace.jobs.get(first ?? '');
      if (!job || second !== 'cancel') return gone;
      if (OVER.has(job.status)) return refuse(400, 'UserError', `job ${first} has ended: ${job.status}`);
      job.cancel.abort();
      return {
        status: 202,
        headers: {
          location: `https://${headers.host}${path.replace(/\/cancel$/, '/canceled')}?api-version=2022-10-01`,
          'retry-after': '1',
        },
      };
    }
    default:
      return refuse(405, 'MethodNotAllowed', `${method} ${kind}`);
  }
}

const compute = ({ vmSize, location }: ComputeState, workspace: WorkspaceState) => ({
  computeType: 'AmlCompute',
  computeLocation: location ?? workspace.location,
  provisioningState: 'Succeeded',
  properties: { vmSize },
});

const datastore = ({ account, container }: DatastoreState) => ({
  datastoreType: 'AzureBlob',
  accountName: account,
  containerName: container,
  credentials: { credentialsType: 'None' },
});

const jobReply = (path: string, { name: job, body, status }: JobState) => ({
  id: path,
  name: job,
  properties: {
    ...body.properties,
    status,
    services: { Studio: { jobServiceType: 'Studio', endpoint: `https://ml.azure.com/runs/${job}` } },
  },
});

const PLACEHOLDER = /\$\{\{(inputs|outputs)\.([A-Za-z0-9_]+)\}\}/g;

function componentProblem(
  spec: ComponentSpec,
  workspaceId: string,
  { environments }: WorkspaceState,
  pathName: string | undefined,
  pathVersion: string | undefined,
): string | undefined {
  if (spec.name !== pathName || spec.version !== pathVersion) return 'name and version differ from those of the path';
  const [prefix, own] = spec.environment.split(`${workspaceId}/environments/`);
  if (prefix !== 'azureml:' || own === undefined || !environments.has(own))
    return `there is no environment ${spec.environment}`;
  const used = new Set([...spec.command.matchAll(PLACEHOLDER)].map(([, side, port]) => `${side}.${port}`));
  for (const each of used) {
    const [side, port] = each.split('.') as ['inputs' | 'outputs', string];
    if (!(port in spec[side])) return `the command names ${each}, which is not there`;
  }
  for (const [port, { optional }] of Object.entries(spec.inputs)) {
    const bare = spec.command.replaceAll(/\$\[\[.*?\]\]/g, '').includes(`\${{inputs.${port}}}`);
    if (optional && bare) return `input ${port} is optional, and the command needs it`;
  }
  return undefined;
}

function jobProblem({ properties: { jobs } }: JobBody, id: string, workspace: WorkspaceState): string | undefined {
  const seen = new Set<string>();
  for (const [key, node] of Object.entries(jobs)) {
    if (node.name !== key) return `node ${key} calls itself ${node.name}`;
    const spec = workspace.components.get(node.componentId.replace(`${id}/components/`, ''));
    if (!spec) return `node ${key}: no component ${node.componentId}`;
    const found = workspace.computes.get(node.computeId.replace(`${id}/computes/`, ''));
    if (!found) return `node ${key}: no compute ${node.computeId}`;
    for (const port of Object.keys(node.inputs)) if (!(port in spec.inputs)) return `node ${key}: no input ${port}`;
    for (const [port, { type, optional }] of Object.entries(spec.inputs)) {
      const given = node.inputs[port];
      if (!given) {
        if (optional) continue;
        return `node ${key}: input ${port} is missing`;
      }
      const problem = inputProblem(given, type, jobs, seen);
      if (problem !== undefined) return `node ${key}: input ${port}: ${problem}`;
      if ('uri' in given && !workspace.datastores.has(datastoreOf(given.uri)))
        return `node ${key}: no datastore ${datastoreOf(given.uri)}`;
    }
    if (Object.keys(node.outputs).sort().join() !== Object.keys(spec.outputs).sort().join())
      return `node ${key}: its outputs are not those of its component`;
    for (const { uri } of Object.values(node.outputs))
      if (!workspace.datastores.has(datastoreOf(uri))) return `node ${key}: no datastore ${datastoreOf(uri)}`;
    seen.add(key);
  }
  return undefined;
}

export const datastoreOf = (uri: string): string => uri.split('/')[3] ?? '';

const BINDING = /^\$\{\{parent\.jobs\.([a-z0-9_]+)\.outputs\.([A-Za-z0-9_]+)\}\}$/;

/** Of an input that is another node's output: its node and output. */
export function bindingOf(input: JobNode['inputs'][string]): readonly [node: string, output: string] | undefined {
  const [, node, output] = 'value' in input ? (BINDING.exec(input.value) ?? []) : [];
  return node === undefined ? undefined : [node, output!];
}

function inputProblem(
  input: JobNode['inputs'][string],
  type: string,
  jobs: JobBody['properties']['jobs'],
  seen: ReadonlySet<string>,
): string | undefined {
  const isData = type === 'uri_folder' || type === 'uri_file';
  if ('uri' in input) return isData && input.job_input_type === type ? undefined : `expected ${type}`;
  const binding = bindingOf(input);
  if (binding) {
    if (!isData) return `expected ${type}`;
    if (!jobs[binding[0]]?.outputs[binding[1]]) return `no output ${binding.join('.')}`;
    return seen.has(binding[0]) ? undefined : `${binding[0]} does not come before it`;
  }
  if (isData) return 'expected data, got a literal';
  const fits =
    type === 'integer'
      ? /^-?\d+$/.test(input.value)
      : type === 'number'
        ? input.value.trim() !== '' && Number.isFinite(Number(input.value))
        : type !== 'boolean' || /^(true|false)$/.test(input.value);
  return fits ? undefined : `"${input.value}" is no ${type}`;
}
