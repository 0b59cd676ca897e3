/**
 * @file One connection to the federation's nats-server that outlives everything but its own end: it reconnects for ever, knows within
 * 20 s that the other side is gone, and refuses to queue what cannot be sent.
 */
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AuthorizationError,
  jwtAuthenticator,
  type NatsConnection,
  NatsConnectionImpl,
  PermissionViolationError,
} from '@nats-io/transport-node';
import { fail, messageOf } from '../base/index.ts';
import { type Dial, type DialingOptions, dialWebSocket, useTransport } from './transport.ts';

/** Who connects: its JWT and the seed of the NKey that the JWT names. */
export interface Credentials {
  readonly jwt: string;
  readonly seed: Uint8Array;
}

export interface ConnectOptions {
  /** `tls://host:4222` */
  readonly url: string;
  /** `wss://host:8443`: taken instead of `url` where HTTPS_PROXY is set for it, and after `url` could not be reached. */
  readonly websocketUrl?: string;
  /** The authority to trust, PEM; without it those of the system. */
  readonly ca?: string;
  readonly credentials: Credentials;
  /** Shown by nats-server. */
  readonly name: string;
  /** Where replies arrive; the permissions of a hospital allow one prefix only. */
  readonly inboxPrefix?: string;
  /** Where what is published to a subject goes (default: there). */
  readonly translate?: (subject: string) => string;
  /** How long the first connect may take in all, in ms (default 30 s). */
  readonly waitMs?: number;
  /** Back-off between tries, in ms (defaults 250 and 5000); jittered by half. */
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
  /** Default: that of the process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** One try: TCP, TLS and NATS's own greeting. */
const TRY_TIMEOUT_MS = 10_000;
const PING_INTERVAL_MS = 5_000;
const MISSED_PINGS = 3;
/** More than this waits to be sent only when somebody does not wait for answers. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;
/** Of nats-server's messages, its max_payload of 8 MB and their headers. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/**
 * Connects. The connection closes by itself only when nats-server refuses its credentials (twice: they were revoked); `closed()` says so.
 * Publishing more than 64 MB than the network takes throws, whether connected or not.
 *
 * @throws FedradError when it cannot be reached within `waitMs`, or refuses the credentials
 */
export async function connectMessaging(options: ConnectOptions): Promise<NatsConnection> {
  const { url, websocketUrl, waitMs = 30_000, environment = process.env } = options;
  useTransport();
  const proxy = websocketUrl === undefined ? undefined : proxyFor(websocketUrl, environment);
  const ways = websocketUrl === undefined ? [url] : proxy ? [websocketUrl] : [url, websocketUrl];
  const delays = backOff(options.minDelayMs, options.maxDelayMs);
  const deadline = performance.now() + waitMs;
  for (let tries = 0; ; tries++) {
    const way = ways[tries % ways.length]!;
    try {
      const connection = await NatsConnectionImpl.connect(natsOptions(way, options, deadline - performance.now()));
      return bounded(connection, way, options.translate);
    } catch (error) {
      if (error instanceof AuthorizationError) {
        fail(
          way,
          'nats-server refuses these credentials',
          'were they revoked? the orchestrator sees it: fedrad silo list',
          error,
        );
      }
      const delay = delays.next();
      if (performance.now() + delay > deadline) {
        const remedy = proxy
          ? 'is the proxy right, as http://host:port, and does it let that address through?'
          : 'is nats-server running there?';
        fail(
          ways.join(' and ') + (proxy ? ` through the proxy ${hostOf(proxy)}` : ''),
          `no connection within ${waitMs / 1000} s: ${explain(error)}`,
          remedy,
          error,
        );
      }
      // Another way needs no patience.
      if ((tries + 1) % ways.length === 0) await sleep(delay);
    }
  }
}

function natsOptions(way: string, options: ConnectOptions, leftMs: number): DialingOptions {
  const { ca, credentials, name, inboxPrefix, environment = process.env } = options;
  const { hostname, protocol } = new URL(way);
  const host = hostname.replace(/^\[|\]$/g, '');
  const timeoutMs = Math.max(1, Math.min(TRY_TIMEOUT_MS, leftMs));
  const delays = backOff(options.minDelayMs, options.maxDelayMs);
  const dial: Dial | undefined =
    protocol === 'wss:'
      ? dialWebSocket({
          ...{ url: way, environment, timeoutMs: TRY_TIMEOUT_MS, maxMessageBytes: MAX_MESSAGE_BYTES },
          ...(ca === undefined ? {} : { ca }),
        })
      : undefined;
  // The client checks a certificate against a name only; `host` is for addresses.
  const tls = { ...(ca === undefined ? {} : { ca }), ...(isIP(host) ? { host } : {}) };
  return {
    ...{ servers: way, name, timeout: timeoutMs, ignoreClusterUpdates: true, noAsyncTraces: true },
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    ...{ reconnect: true, maxReconnectAttempts: -1, reconnectDelayHandler: delays.next },
    ...{ pingInterval: PING_INTERVAL_MS, maxPingOut: MISSED_PINGS },
    authenticator: jwtAuthenticator(credentials.jwt, credentials.seed),
    // A proxy resolves the name itself.
    ...(dial ? { dial, resolve: false } : { tls }),
  };
}

/** Delays that double up to a bound, each jittered down to half; from the start again after a pause longer than the bound. */
function backOff(minMs = 250, maxMs = 5_000) {
  let [delay, last] = [minMs, 0];
  return {
    next: (): number => {
      const now = performance.now();
      delay = now - last > 4 * maxMs ? minMs : Math.min(maxMs, delay * 2);
      last = now;
      return delay * (0.5 + Math.random() / 2);
    },
  };
}

/** Makes publishing throw where the network takes too little, and translate its subjects. */
function bounded(
  connection: NatsConnection,
  way: string,
  translate = (subject: string): string => subject,
): NatsConnection {
  const { protocol } = connection as NatsConnectionImpl;
  growOnce(connection);
  const publish = protocol.publish.bind(protocol);
  protocol.publish = (subject, payload, options) => {
    if (pendingBytes(connection) > MAX_PENDING_BYTES) {
      fail(way, `${MAX_PENDING_BYTES >> 20} MB wait to be sent`, 'the connection is down or too slow; try again later');
    }
    publish(translate(subject), payload, options);
  };
  // The server refuses the translated subject; the client looks for a request of the other one, which would wait for its time to run out.
  const { muxSubscriptions } = protocol;
  const handleError = muxSubscriptions.handleError.bind(muxSubscriptions);
  muxSubscriptions.handleError = (ofInbox, error) => {
    const { message, operation, subject, queue } = error;
    const asked = muxSubscriptions.all().find(({ requestSubject }) => translate(requestSubject) === subject);
    const { requestSubject = subject } = asked ?? {};
    return handleError(ofInbox, new PermissionViolationError(message, operation, requestSubject, queue));
  };
  return connection;
}

/**
 * The client gathers a message of several reads in memory that doubles, four times its size in all. Here the memory is made once: the
 * parser knows the size from the message's first line.
 */
export function growOnce(connection: NatsConnection): void {
  const { parser } = (connection as NatsConnectionImpl).protocol;
  const parse = parser.parse.bind(parser);
  parser.parse = (bytes) => {
    parse(bytes);
    const { msgBuf, ma } = parser;
    if (msgBuf && msgBuf.capacity < ma.size) msgBuf.grow(ma.size - msgBuf.length);
  };
}

/** Bytes that were published and that the network has not taken yet. */
export function pendingBytes(connection: NatsConnection): number {
  const { outbound, transport } = (connection as NatsConnectionImpl).protocol;
  const { socket } = transport as { socket?: { writableLength: number } };
  return outbound.size() + (socket?.writableLength ?? 0);
}

/** The proxy that the environment names for this URL, if any. */
export function proxyFor(url: string, environment: NodeJS.ProcessEnv): string | undefined {
  const proxy = environment['https_proxy'] || environment['HTTPS_PROXY'];
  if (!proxy) return undefined;
  const { hostname, port } = new URL(url);
  const exempt = (environment['no_proxy'] || environment['NO_PROXY'] || '').split(/[\s,]+/).some((entry) => {
    if (entry === '') return false;
    const [, name, at] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(entry)!;
    return entry === '*' || ((at === undefined || at === port) && (hostname === name || hostname.endsWith(`.${name}`)));
  });
  if (exempt) return undefined;
  // As other programs take it: proxy:3128.
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

/** Without a password, which may stand in a proxy's address. */
const hostOf = (proxy: string): string => (URL.canParse(proxy) && new URL(proxy).host) || 'of HTTPS_PROXY';

const explain = (error: unknown): string => {
  const message = messageOf(error);
  return message === '' ? String((error as NodeJS.ErrnoException)?.code ?? error) : message;
};
