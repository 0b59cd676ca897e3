/**
 * @file One call of MLflow's REST API 2.0, tried again where that may help: no connection, 408, 429 and 5xx, with growing pauses and
 * Retry-After. It follows no redirects (a token would go with it), reads no more of an answer than it needs, and ends with its signal.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { FedradError, fail, messageOf } from '../base/index.ts';
import { Refused } from './store.ts';

export interface RestServer {
  /** Base URL in front of `/api/2.0/mlflow`. */
  readonly url: string;
  /** Value of the Authorization header. */
  readonly authorization?: string;
  /** Ends whatever is going on. */
  readonly signal: AbortSignal;
  /** The pause before another try; an argument for tests. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface RestRequest<T> {
  readonly method: 'GET' | 'POST';
  /** Behind `/api/2.0/mlflow/`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly answer: z.ZodType<T>;
  /** Looks whether a try without an answer has done its work; what it gives is then the answer. */
  readonly alreadyDone?: () => Promise<T | undefined>;
}

/** An answer that is an error, with MLflow's code for it. */
export interface RestProblem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const TRIES = 5;
const CALL_TIMEOUT_MS = 30_000;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 60_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const AGAIN = new Set([408, 429, 500, 502, 503, 504]);

const problemSchema = z.object({ error_code: z.string().default(''), message: z.string().default('') });

type Tried<T> = { ok: true; value: T } | { ok: false; problem: RestProblem; afterMs: number | undefined };

/**
 * Makes the call. An error of the server that nothing can mend is returned, for the caller to know it by its code.
 *
 * @throws FedradError where no try came through
 */
export async function callRest<T>(server: RestServer, request: RestRequest<T>): Promise<T | RestProblem> {
  const wait = server.wait ?? pause;
  let last = '';
  for (let tries = 1; ; tries++) {
    let afterMs: number | undefined;
    try {
      if (tries > 1) {
        const done = await request.alreadyDone?.();
        if (done !== undefined) return done;
      }
      const tried = await tryOnce(server, request);
      if (tried.ok) return tried.value;
      if (!AGAIN.has(tried.problem.status)) return tried.problem;
      last = problemText(tried.problem);
      afterMs = tried.afterMs;
    } catch (error) {
      if (error instanceof FedradError) throw error;
      if (server.signal.aborted) throw server.signal.reason;
      last = causeText(error);
    }
    if (tries === TRIES)
      return fail(`MLflow at ${server.url}`, last, 'check MLFLOW_TRACKING_URI; is the server there?');
    await wait(Math.min(afterMs ?? FIRST_PAUSE_MS * 2 ** (tries - 1), MAX_PAUSE_MS), server.signal);
    server.signal.throwIfAborted();
  }
}

export const isProblem = (answer: unknown): answer is RestProblem =>
  typeof answer === 'object' && answer !== null && 'status' in answer && 'code' in answer;

/** Throws what a problem that was not expected means: the sign-in, or a request that the server does not take. */
export function throwProblem(server: RestServer, { path }: { path: string }, problem: RestProblem): never {
  const where = `MLflow at ${server.url}`;
  const { status } = problem;
  if (status === 401 || status === 403)
    return fail(
      where,
      `it does not let this user in (${status})`,
      'set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD',
    );
  if (status >= 300 && status < 400)
    return fail(where, 'it answers with another address', 'give the address of the server itself, behind its sign-in');
  if (status === 404 && problem.code === '')
    return fail(where, 'there is no MLflow REST API 2.0', 'check MLFLOW_TRACKING_URI');
  throw new Refused({ where, problem: `${path}: ${problemText(problem)}`, cause: problem });
}

const problemText = ({ status, code, message }: RestProblem): string =>
  `it answers ${status}${code === '' ? '' : ` ${code}`}${message === '' ? '' : `: ${oneLine(message)}`}`;

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').slice(0, 300);

async function tryOnce<T>(
  server: RestServer,
  { method, path, query, body, answer }: RestRequest<T>,
): Promise<Tried<T>> {
  const search = query === undefined ? '' : `?${new URLSearchParams(query)}`;
  const response = await fetch(`${server.url}/api/2.0/mlflow/${path}${search}`, {
    method,
    redirect: 'manual',
    headers: {
      accept: 'application/json',
      ...(server.authorization === undefined ? {} : { authorization: server.authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.any([server.signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]),
  });
  const text = await textOf(response);
  const json = parsed(text);
  if (response.status !== 200) {
    const { error_code: code, message } = problemSchema.catch({ error_code: '', message: '' }).parse(json);
    const afterMs = retryAfter(response.headers.get('retry-after'));
    return { ok: false, problem: { status: response.status, code, message }, afterMs };
  }
  const checked = answer.safeParse(json);
  if (!checked.success)
    throw new Error(`${path}: the answer is not that of an MLflow server: ${oneLine(z.prettifyError(checked.error))}`);
  return { ok: true, value: checked.data };
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's page; the schema says what is missing.
    return undefined;
  }
}

/** Milliseconds; the header has seconds or a date. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** fetch says "fetch failed" and keeps what happened in the cause. */
const causeText = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return messageOf(cause) || code || 'no connection';
};

/** Ends early with the signal; whoever waits asks it why. */
const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {});
