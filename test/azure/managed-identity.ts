/**
 * @file Stand-in for the managed identities of Azure ML's computes: the endpoint on loopback that MSI_ENDPOINT and MSI_SECRET name in a job
 * (api-version 2017-09-01, as MachineLearning of @azure/msal-node 7.2.3 asks it). Each compute has one user-assigned identity, which
 * DEFAULT_IDENTITY_CLIENT_ID names.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Cleanup } from '../hospitals/tool.ts';
import { accessToken } from './stand-in.ts';

export interface ManagedIdentities {
  /** What a job on the compute finds in its environment. */
  environment(compute: string): Readonly<Record<string, string>>;
}

/**
 * Starts it; it ends with the test.
 * @param objectIds of the computes' identities, by compute
 */
export async function startManagedIdentities(
  context: Cleanup,
  objectIds: ReadonlyMap<string, string>,
): Promise<ManagedIdentities> {
  const secret = randomUUID();
  const byClient = new Map([...objectIds.keys()].map((compute) => [randomUUID() as string, compute]));
  const server = createServer((request, response) => {
    const { searchParams: query } = new URL(request.url ?? '/', 'http://localhost');
    const clientId = query.get('clientid') ?? '';
    const compute = byClient.get(clientId);
    const resource = query.get('resource');
    const send = (status: number, body: unknown): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.headers['secret'] !== secret) return send(401, { error: { code: 'Unauthorized' } });
    if (query.get('api-version') !== '2017-09-01' || !resource) return send(400, { error: { code: 'BadRequest' } });
    if (compute === undefined) return send(400, { error: { code: 'IdentityNotFound' } });
    return send(200, {
      access_token: accessToken(resource, objectIds.get(compute)),
      expires_on: String(Math.floor(Date.now() / 1000) + 3600),
      resource,
      token_type: 'Bearer',
      client_id: clientId,
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => new Promise<void>((resolve) => server.close(() => resolve()).closeAllConnections()));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    environment: (compute) => ({
      MSI_ENDPOINT: url,
      MSI_SECRET: secret,
      DEFAULT_IDENTITY_CLIENT_ID: [...byClient].find(([, each]) => each === compute)?.[0] ?? '',
    }),
  };
}
