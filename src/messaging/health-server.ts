/**
 * @file A small HTTP server for whoever watches a long-running fedrad: /healthz (the process lives), /readyz (it can work), /metrics
 * (Prometheus text). It reads nothing of a request but its path, and changes nothing.
 */
import { createServer } from 'node:http';
import { fail } from '../base/index.ts';

export interface HealthAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface HealthSource {
  /** True, or why it is not ready. */
  ready(): boolean | string;
  /** As of prom-client. */
  readonly registry: { readonly contentType: string; metrics(): Promise<string> };
}

export interface HealthServer {
  readonly port: number;
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 32;

/** Starts the server. @throws FedradError when the address is taken or not of this machine */
export async function startHealthServer({ host, port }: HealthAddress, source: HealthSource): Promise<HealthServer> {
  const answer = async (path: string): Promise<{ status: number; type: string; text: string }> => {
    const plain = (status: number, text: string) => ({ status, type: 'text/plain; charset=utf-8', text: `${text}\n` });
    if (path === '/healthz') return plain(200, 'ok');
    if (path === '/readyz') {
      const ready = source.ready();
      return ready === true ? plain(200, 'ready') : plain(503, ready === false ? 'not ready' : ready);
    }
    if (path === '/metrics')
      return { status: 200, type: source.registry.contentType, text: await source.registry.metrics() };
    return plain(404, 'try /healthz, /readyz or /metrics');
  };
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      const send = (status: number, type: string, text: string): void => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
        response.end(request.method === 'HEAD' ? undefined : text);
      };
      if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'text/plain', 'GET only\n');
      answer((request.url ?? '').split('?')[0]!).then(
        ({ status, type, text }) => send(status, type, text),
        (error: unknown) => send(500, 'text/plain', `${error instanceof Error ? error.message : error}\n`),
      );
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  }).catch((error: NodeJS.ErrnoException) =>
    fail(
      `--http ${host}:${port}`,
      `cannot listen there: ${error.code ?? error.message}`,
      'give another address',
      error,
    ),
  );
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Reads `127.0.0.1:9465`, `[::1]:9465` or `9465` (this machine only). `option` names it in errors. */
export function parseHealthAddress(text: string, option: string): HealthAddress {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]:|([^:]+):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535) {
    return fail(option, `expected <host>:<port>, got "${text}"`, `for example ${option} 127.0.0.1:9465`);
  }
  return { host: bracketed ?? plain ?? '127.0.0.1', port: Number(port) };
}
