/**
 * @file Stand-in for an MLflow tracking server: the calls of its REST API 2.0 that fedrad makes, written from the published description
 * (https://mlflow.org/docs/latest/rest-api.html, and the limits and names of mlflow/utils/validation.py, MLflow 2.20), stateful and
 * stricter than the server: a field that the description does not have is refused. Metrics are kept as MLflow's database keeps them, where
 * the same point twice is one. It is not MLflow: nobody has compared the two. It serves by itself over HTTP, or as an API of the stand-in
 * for Azure, below the path that Azure ML's tracking URI has.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { posix } from 'node:path';
import { z } from 'zod';
import type { Cleanup } from '../hospitals/tool.ts';
import type { Api, ApiReply } from './stand-in.ts';

export interface MlflowRun {
  readonly id: string;
  readonly experimentId: string;
  name: string;
  status: string;
  readonly startTime: number;
  endTime?: number;
  readonly tags: Map<string, string>;
  readonly params: Map<string, string>;
  readonly metrics: { key: string; value: number; timestamp: number; step: number }[];
}

export interface Mlflow {
  /** Stage by id and name. */
  readonly experiments: Map<string, { readonly name: string; stage: 'active' | 'deleted' }>;
  readonly runs: Map<string, MlflowRun>;
}

export const newMlflow = (): Mlflow => ({
  experiments: new Map([['0', { name: 'Default', stage: 'active' }]]),
  runs: new Map(),
});

const MAX_REQUEST_BYTES = 1_000_000;
const name = z
  .string()
  .min(1)
  .max(250)
  .regex(/^[/\p{L}\p{N}_.\- :]*$/u)
  .refine((text) => posix.normalize(text) === text && !/^(\.$|\.\.|\/)/.test(text), 'another path than its name');
const int64 = z.int().nonnegative();
const tags = z.array(z.strictObject({ key: name, value: z.string().max(5000) })).max(100);
const bodies = {
  'experiments/create': z.strictObject({
    name: z.string().min(1).max(500),
    artifact_location: z.string().optional(),
    tags: tags.optional(),
  }),
  'runs/create': z.strictObject({
    experiment_id: z.string(),
    run_name: z.string().optional(),
    start_time: int64.optional(),
    tags: tags.optional(),
  }),
  'runs/update': z.strictObject({
    run_id: z.string(),
    status: z.enum(['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED']).optional(),
    end_time: int64.optional(),
    run_name: z.string().optional(),
  }),
  'runs/log-batch': z
    .strictObject({
      run_id: z.string(),
      metrics: z
        .array(z.strictObject({ key: name, value: z.number(), timestamp: int64, step: z.int().optional() }))
        .max(1000)
        .default([]),
      params: z
        .array(z.strictObject({ key: name, value: z.string().max(250) }))
        .max(100)
        .default([]),
      tags: tags.default([]),
    })
    .refine((body) => body.metrics.length + body.params.length + body.tags.length <= 1000, 'more than 1000 entries'),
  'runs/search': z.strictObject({
    experiment_ids: z.array(z.string()),
    filter: z.string(),
    max_results: z.int().positive().max(50_000),
  }),
};

/** The run of a job, which Azure ML makes before the job's process starts, with the id of the job. */
export function jobRun({ experiments, runs }: Mlflow, id: string, experimentName: string): MlflowRun {
  const known = [...experiments].find(([, each]) => each.name === experimentName)?.[0];
  const experimentId = known ?? randomUUID();
  experiments.set(experimentId, { name: experimentName, stage: 'active' });
  const run: MlflowRun = {
    ...{ id, experimentId, name: id, status: 'RUNNING', startTime: Date.now() },
    ...{ tags: new Map(), params: new Map(), metrics: [] },
  };
  runs.set(id, run);
  return run;
}

const problem = (status: number, code: string, message: string): ApiReply => ({
  status,
  body: { error_code: code, message },
});
const invalid = (message: string): ApiReply => problem(400, 'INVALID_PARAMETER_VALUE', message);
const missing = (message: string): ApiReply => problem(404, 'RESOURCE_DOES_NOT_EXIST', message);
const ok = (body: unknown = {}): ApiReply => ({ status: 200, body });

const infoOf = (run: MlflowRun) => ({
  run_id: run.id,
  run_uuid: run.id,
  run_name: run.name,
  experiment_id: run.experimentId,
  status: run.status,
  start_time: run.startTime,
  ...(run.endTime === undefined ? {} : { end_time: run.endTime }),
  lifecycle_stage: 'active',
});
const pairs = (map: ReadonlyMap<string, string>) => [...map].map(([key, value]) => ({ key, value }));
const runOf = (run: MlflowRun) => ({
  info: infoOf(run),
  data: { metrics: run.metrics, params: pairs(run.params), tags: pairs(run.tags) },
});

/** The calls below `<prefix>/api/2.0/mlflow/`. */
export function mlflowApi(state: Mlflow, prefix = ''): Api {
  return async ({ method, path, query, headers, body }) => {
    if (!path.startsWith(`${prefix}/api/2.0/mlflow/`)) return undefined;
    const call = path.slice(`${prefix}/api/2.0/mlflow/`.length);
    if (method === 'GET' && call === 'experiments/get-by-name') return byName(state, query.get('experiment_name'));
    if (method !== 'POST' || !Object.hasOwn(bodies, call)) return { status: 404, body: 'Not Found' };
    if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
      return problem(400, 'BAD_REQUEST', 'the content type is not application/json');
    if (JSON.stringify(body).length > MAX_REQUEST_BYTES) return invalid('the request is larger than 1 MB');
    const checked = bodies[call as keyof typeof bodies].safeParse(body);
    if (!checked.success) return invalid(z.prettifyError(checked.error));
    return calls[call as keyof typeof bodies](state, checked.data as never);
  };
}

type Body<Call extends keyof typeof bodies> = z.infer<(typeof bodies)[Call]>;
const calls: { readonly [Call in keyof typeof bodies]: (state: Mlflow, body: Body<Call>) => ApiReply } = {
  'experiments/create': ({ experiments }, body) => {
    if ([...experiments.values()].some((each) => each.name === body.name))
      return problem(400, 'RESOURCE_ALREADY_EXISTS', `Experiment '${body.name}' already exists.`);
    const id = String(randomInt(1, 2 ** 40));
    experiments.set(id, { name: body.name, stage: 'active' });
    return ok({ experiment_id: id });
  },
  'runs/create': ({ experiments, runs }, body) => {
    const experiment = experiments.get(body.experiment_id);
    if (!experiment) return missing(`No Experiment with id=${body.experiment_id} exists`);
    if (experiment.stage === 'deleted')
      return invalid(`The experiment ${body.experiment_id} must be in the 'active' state.`);
    const given = new Map((body.tags ?? []).map(({ key, value }) => [key, value]));
    const tagged = given.get('mlflow.runName');
    if (body.run_name !== undefined && tagged !== undefined && body.run_name !== tagged)
      return invalid("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values");
    const run: MlflowRun = {
      id: randomUUID().replaceAll('-', ''),
      experimentId: body.experiment_id,
      name: body.run_name ?? tagged ?? 'unnamed',
      status: 'RUNNING',
      startTime: body.start_time ?? 0,
      tags: given,
      params: new Map(),
      metrics: [],
    };
    runs.set(run.id, run);
    return ok({ run: runOf(run) });
  },
  'runs/update': ({ runs }, body) => {
    const run = runs.get(body.run_id);
    if (!run) return missing(`Run with id=${body.run_id} not found`);
    if (body.status !== undefined) run.status = body.status;
    if (body.end_time !== undefined) run.endTime = body.end_time;
    if (body.run_name !== undefined) run.name = body.run_name;
    return ok({ run_info: infoOf(run) });
  },
  'runs/log-batch': ({ runs }, body) => {
    const run = runs.get(body.run_id);
    if (!run) return missing(`Run with id=${body.run_id} not found`);
    const keys = body.params.map(({ key }) => key);
    if (new Set(keys).size < keys.length) return invalid('Duplicate parameter keys have been submitted');
    for (const { key, value } of body.params) {
      const before = run.params.get(key);
      if (before !== undefined && before !== value)
        return invalid(`Changing param values is not allowed. Param with key='${key}' was already logged`);
    }
    for (const { key, value } of body.params) run.params.set(key, value);
    for (const { key, value } of body.tags) run.tags.set(key, value);
    const known = new Set(run.metrics.map((each) => JSON.stringify(each)));
    for (const { step = 0, ...metric } of body.metrics) {
      const point = { ...metric, step };
      if (known.has(JSON.stringify(point))) continue;
      known.add(JSON.stringify(point));
      run.metrics.push(point);
    }
    return ok();
  },
  'runs/search': ({ experiments, runs }, body) => {
    const gone = body.experiment_ids.find((id) => !experiments.has(id));
    if (gone !== undefined) return missing(`No Experiment with id=${gone} exists`);
    const [, tag, value] = /^tags\.`([^`]+)` = '([^']*)'$/.exec(body.filter) ?? [];
    if (tag === undefined) return invalid(`this stand-in does not know the filter ${body.filter}`);
    const found = [...runs.values()].filter(
      (run) => body.experiment_ids.includes(run.experimentId) && run.tags.get(tag) === value,
    );
    // As the server does: what is empty is left out.
    return ok(found.length === 0 ? {} : { runs: found.slice(0, body.max_results).map(runOf) });
  },
};

function byName({ experiments }: Mlflow, wanted: string | null): ApiReply {
  if (!wanted) return invalid("Missing value for required parameter 'experiment_name'.");
  const found = [...experiments].find(([, each]) => each.name === wanted);
  if (!found) return missing(`Could not find experiment with name '${wanted}'`);
  const [id, { name: called, stage }] = found;
  return ok({
    experiment: { experiment_id: id, name: called, artifact_location: `/mlruns/${id}`, lifecycle_stage: stage },
  });
}

/** What goes wrong with calls that match, so many times. */
export interface MlflowFault {
  /** Against method and path. */
  readonly match: RegExp;
  /** A status; or the connection ends before the work is done, or after it. */
  readonly fault: number | 'drop-before' | 'drop-after';
  readonly retryAfter?: string;
  times: number;
  /** So many calls that match come through first; default 0. */
  skip?: number;
}

export interface MlflowServer {
  readonly url: string;
  readonly state: Mlflow;
  readonly faults: MlflowFault[];
  /** Method and path of every call, answered or not. */
  readonly calls: string[];
  /** The runs, in the order of their start. */
  runs(): MlflowRun[];
}

/** Serves it over HTTP on loopback until the test ends. @param authorization the header that every call must have; none: any */
export async function startMlflow(context: Cleanup, authorization?: string): Promise<MlflowServer> {
  const state = newMlflow();
  const api = mlflowApi(state);
  const faults: MlflowFault[] = [];
  const seen: string[] = [];
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://stand-in');
    const method = request.method ?? 'GET';
    const text = await textOf(request);
    seen.push(`${method} ${path}`);
    const matching = faults.find(({ match, times }) => times > 0 && match.test(`${method} ${path}`));
    const fault = matching?.skip ? undefined : matching;
    if (matching?.skip) matching.skip -= 1;
    if (fault) fault.times -= 1;
    if (fault?.fault === 'drop-before') return void response.destroy();
    if (typeof fault?.fault === 'number') {
      const headers = fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter };
      response.writeHead(fault.fault, headers).end('a fault of the stand-in');
      return;
    }
    if (authorization !== undefined && request.headers.authorization !== authorization) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="mlflow"' }).end('You are not authenticated.');
      return;
    }
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    const caller = { objectId: 'anybody', kind: 'user' as const };
    const reply = (await api({ method, path, query, headers: request.headers, body, caller, audience: '' })) ?? {
      status: 404,
    };
    if (fault?.fault === 'drop-after') return void response.destroy();
    response.writeHead(reply.status, { 'content-type': 'application/json' }).end(JSON.stringify(reply.body ?? {}));
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => new Promise<void>((resolve) => server.close(() => resolve()).closeAllConnections()));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, state, faults, calls: seen, runs: () => [...state.runs.values()] };
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
