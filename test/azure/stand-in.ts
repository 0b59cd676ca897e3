/**
 * @file The core of a stand-in for Azure: an HTTPS server on loopback that signs clients in (the OAuth 2.0 client credentials grant, as
 * Microsoft Entra's v2.0 endpoints answer it; of people: authorization-code.ts), checks the token of every call, hands it to one of its APIs, and fails on request. It is
 * not Azure: it does what the published descriptions say, and nobody has compared it with the service.
 */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { newAuthority, newServerCertificate } from '../../src/messaging/certificates.ts';
import type { Cleanup } from '../hospitals/tool.ts';
import { authorizationCodes } from './authorization-code.ts';

export interface Caller {
  readonly objectId: string;
  readonly kind: 'user' | 'servicePrincipal';
}

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  readonly caller: Caller;
  /** What the caller's token is for. */
  readonly audience: string;
}

export interface ApiReply {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

export interface Api {
  /** undefined: not mine. */
  (request: ApiRequest): Promise<ApiReply | undefined>;
  /** Its own words for a call without an accepted token; undefined: not mine. */
  readonly unsigned?: (request: Pick<ApiRequest, 'method' | 'path' | 'headers' | 'body'>) => ApiReply | undefined;
}

/** What goes wrong, so many times, for the calls that match. */
export interface Fault {
  readonly match: RegExp;
  readonly status: number;
  times: number;
  /** The call is carried out all the same: only its answer is lost. */
  readonly carriedOut?: true;
}

export interface StandIn {
  readonly url: string;
  readonly faults: Fault[];
  /** Method and path of every call that an API answered. */
  readonly calls: string[];
  /** How long a token lives that is given now, in seconds. */
  tokenSeconds: number;
  /** How many tokens an application got. */
  readonly tokens: { count: number };
  /** Another host and port where it listens. */
  anotherUrl(): Promise<string>;
  /** A certificate and key that clients trust, for servers beside this one. */
  readonly certificate: { readonly cert: string; readonly key: string };
  /** Of child processes: the sign-in, the authority to trust, where Azure is. */
  readonly environment: Record<string, string>;
}

export const TENANT = '11111111-1111-1111-1111-111111111111';
export const CALLER: Caller = { objectId: '22222222-2222-2222-2222-222222222222', kind: 'servicePrincipal' };
const SECRET = 'stand-in-secret';
const RUN_HISTORY_AUDIENCE = 'https://ml.azure.com';
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Starts it; it ends with the test. */
export async function startStandIn(context: Cleanup, apis: readonly Api[] = []): Promise<StandIn> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-azure-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  // Clients look an authority up by its name: two of one name would be taken for each other.
  const authority = await newAuthority(`stand-in ${randomUUID()}`, new Date());
  const server = await newServerCertificate(authority, ['localhost', '127.0.0.1'], new Date());
  const files = { ca: join(folder, 'ca.pem'), cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  await writeFile(files.ca, authority.certificate);
  await writeFile(files.cert, server.certificate);
  await writeFile(files.key, server.key);
  // For what this process itself asks of servers with that certificate.
  setDefaultCACertificates([...getCACertificates('default'), authority.certificate]);
  const faults: Fault[] = [];
  const calls: string[] = [];
  const tokens = { count: 0 };
  let tokenSeconds = 3600;
  const listen = async (): Promise<string> => {
    const https = createServer({ cert: server.certificate, key: server.key }, (request, response) => {
      answer(request)
        .catch((error: unknown) => reply(500, { error: { code: 'StandInDefect', message: String(error) } }))
        .then(({ status, headers = {}, body }) => send(response, status, headers, body))
        .catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
    context.after(() => new Promise<void>((resolve) => https.close(() => resolve()).closeAllConnections()));
    return `https://localhost:${(https.address() as AddressInfo).port}`;
  };
  const url = await listen();

  const applicationToken = (form: URLSearchParams): ApiReply => {
    tokens.count += 1;
    return token(form, tokenSeconds);
  };
  const people = authorizationCodes({ oid: CALLER.objectId, tid: TENANT, iss: `${url}/${TENANT}/v2.0` }, (scope) =>
    accessToken(audienceOf(scope)),
  );

  async function answer(request: IncomingMessage): Promise<ApiReply> {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', url);
    const text = await bodyOf(request);
    if (path.endsWith('/.well-known/openid-configuration')) return reply(200, openIdConfiguration());
    if (path.endsWith('/oauth2/v2.0/authorize')) return people.authorize(query);
    if (path.endsWith('/oauth2/v2.0/token')) {
      const form = new URLSearchParams(text);
      return form.get('grant_type') === 'authorization_code' ? people.redeem(form) : applicationToken(form);
    }
    const method = request.method ?? 'GET';
    const { headers } = request;
    calls.push(`${method} ${path}`);
    const handle = () => handled({ method, path, query, headers, text });
    const fault = faults.find(({ match, times }) => times > 0 && match.test(`${method} ${path}`));
    if (fault) {
      fault.times -= 1;
      if (fault.carriedOut) await handle();
      return {
        ...reply(fault.status, { error: { code: 'Injected', message: 'a fault of the stand-in' } }),
        headers: { 'retry-after': '1' },
      };
    }
    return handle();
  }

  async function handled({
    text,
    ...call
  }: Pick<ApiRequest, 'method' | 'path' | 'query' | 'headers'> & { text: string }) {
    const { method, path, headers } = call;
    const body = text === '' ? undefined : JSON.parse(text);
    const { problem, claims } = readToken(headers.authorization);
    if (problem !== undefined) {
      const own = apis.map((api) => api.unsigned?.({ method, path, headers, body })).find((each) => each !== undefined);
      return own ?? reply(401, { error: { code: problem, message: 'The access token is not accepted.' } });
    }
    const audience = expectedAudience(path);
    if (audience !== undefined && claims.aud !== audience)
      return reply(401, {
        error: {
          code: 'InvalidAuthenticationTokenAudience',
          message: `The access token has been obtained for wrong audience or resource '${claims.aud}'. It should exactly match with one of the allowed audiences '${audience}'.`,
        },
      });
    const caller = { objectId: claims.oid, kind: CALLER.kind };
    for (const api of apis) {
      const answered = await api({ ...call, body, caller, audience: claims.aud });
      if (answered) return answered;
    }
    return reply(404, { error: { code: 'NotFound', message: `${method} ${path} is not in the stand-in` } });
  }

  /** What a token must be for; undefined: the API looks itself, as Key Vault's and storage do. */
  const expectedAudience = (path: string): string | undefined => {
    if (/^\/+subscriptions\//.test(path)) return url;
    return path.startsWith('/history/') ? RUN_HISTORY_AUDIENCE : undefined;
  };

  const openIdConfiguration = () => ({
    issuer: `${url}/${TENANT}/v2.0`,
    authorization_endpoint: `${url}/${TENANT}/oauth2/v2.0/authorize`,
    token_endpoint: `${url}/${TENANT}/oauth2/v2.0/token`,
    jwks_uri: `${url}/${TENANT}/discovery/v2.0/keys`,
  });

  return {
    url,
    faults,
    calls,
    get tokenSeconds() {
      return tokenSeconds;
    },
    set tokenSeconds(seconds) {
      tokenSeconds = seconds;
    },
    tokens,
    anotherUrl: listen,
    certificate: { cert: files.cert, key: files.key },
    environment: {
      AZURE_TENANT_ID: TENANT,
      AZURE_CLIENT_ID: '33333333-3333-3333-3333-333333333333',
      AZURE_CLIENT_SECRET: SECRET,
      AZURE_AUTHORITY_HOST: url,
      NODE_EXTRA_CA_CERTS: files.ca,
      FEDRAD_AZURE_ENDPOINTS: JSON.stringify({ resourceManager: url, lookMs: 100 }),
    },
  };
}

const reply = (status: number, body: unknown): ApiReply => ({ status, body });

const audienceOf = (scope: string): string => scope.replace(/\/?\/\.default.*$/, '');

/** The audience is the scope's resource; storage checks it, and that the issuer looks like Microsoft's. */
function token(form: URLSearchParams, seconds: number): ApiReply {
  if (form.get('client_secret') !== SECRET) {
    return reply(401, {
      error: 'invalid_client',
      error_description: 'AADSTS7000222: The provided client secret keys are expired.',
      error_codes: [7000222],
    });
  }
  const jwt = accessToken(audienceOf(form.get('scope') ?? ''), CALLER.objectId, seconds);
  return reply(200, { token_type: 'Bearer', expires_in: seconds, ext_expires_in: seconds, access_token: jwt });
}

/** A token, for an hour by default, of the service principal that signs in or of another identity. */
export function accessToken(audience: string, objectId = CALLER.objectId, seconds = 3600): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    aud: audience,
    iss: `https://sts.windows.net/${TENANT}/`,
    iat: now,
    nbf: now - 60,
    exp: now + seconds,
    oid: objectId,
    tid: TENANT,
    app_displayname: 'stand-in',
  };
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}.${part('stand-in')}`;
}

interface Claims {
  readonly oid: string;
  readonly aud: string;
  readonly exp: number;
}

function readToken(header: string | undefined): { problem?: string; claims: Claims } {
  const jwt = /^Bearer (.+)$/.exec(header ?? '')?.[1];
  const text = Buffer.from(jwt?.split('.')[1] ?? '', 'base64url').toString() || '{}';
  const claims = { oid: '', aud: '', exp: 0, ...(JSON.parse(text) as Partial<Claims>) };
  if (jwt === undefined) return { problem: 'AuthenticationFailed', claims };
  return claims.exp * 1000 > Date.now() ? { claims } : { problem: 'ExpiredAuthenticationToken', claims };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('the body is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, status: number, headers: Record<string, string>, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
