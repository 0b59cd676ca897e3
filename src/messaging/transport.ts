/**
 * @file How bytes get to nats-server: TCP with TLS, or a WebSocket, which a hospital's HTTP proxy lets through (CONNECT, by Node's own
 * agent). The client has one transport for a process; this one dials as each connection asks, so that both kinds can live side by side.
 */
import { Agent } from 'node:https';
import type { Duplex } from 'node:stream';
import { type NodeConnectionOptions, setTransportFactory } from '@nats-io/transport-node';
import { NodeTransport, nodeResolveHost } from '@nats-io/transport-node/lib/node_transport.js';
import { createWebSocketStream, WebSocket } from 'ws';

/** Opens the stream of a connection that does not go by TCP. */
export type Dial = () => Promise<Duplex>;

export interface DialingOptions extends NodeConnectionOptions {
  readonly dial?: Dial;
}

/** Makes all connections of this process use this transport. */
export function useTransport(): void {
  setTransportFactory({
    dnsResolveFn: nodeResolveHost,
    factory: () => {
      const transport = new NodeTransport();
      const dialTcp = transport.dial.bind(transport);
      transport.dial = (host) => {
        const { dial } = transport.options as DialingOptions;
        // The transport needs of a socket what every duplex stream has.
        return dial ? (dial() as ReturnType<typeof dialTcp>) : dialTcp(host);
      };
      // nats-server asks for TLS also of those who came through it.
      const startTls = transport.startTLS.bind(transport);
      transport.startTLS = () =>
        (transport.options as DialingOptions).dial ? Promise.resolve(transport.socket as never) : startTls();
      return transport;
    },
  });
}

export interface WebSocketOptions {
  /** `wss://host:8443` */
  readonly url: string;
  /** PEM; without it the system's authorities are trusted. */
  readonly ca?: string;
  /** Its HTTPS_PROXY and NO_PROXY are heeded, in capitals or small letters. */
  readonly environment: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly maxMessageBytes: number;
}

/** Opens a WebSocket to nats-server. */
export const dialWebSocket =
  ({ url, ca, environment, timeoutMs, maxMessageBytes }: WebSocketOptions): Dial =>
  () =>
    new Promise((resolve, reject) => {
      const agent = new Agent({ proxyEnv: environment, ...(ca === undefined ? {} : { ca }) });
      const socket = new WebSocket(url, {
        ...{ agent, handshakeTimeout: timeoutMs, maxPayload: maxMessageBytes },
        ...{ perMessageDeflate: false, followRedirects: false },
      });
      socket.once('error', reject);
      socket.once('open', () => {
        socket.off('error', reject);
        resolve(Object.assign(createWebSocketStream(socket), { encrypted: true }));
      });
    });
