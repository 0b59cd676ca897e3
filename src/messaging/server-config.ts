/**
 * @file The text of nats-server.conf for one federation. Pure. What is not here has nats-server's own default; there is no monitoring port
 * unless asked for, and then on this machine alone.
 */

export interface ServerConfig {
  readonly workspaceName: string;
  readonly host: string;
  readonly port: number;
  readonly websocketPort?: number;
  readonly monitorPort?: number;
  /** Paths. */
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly operatorFile: string;
  readonly storeFolder: string;
  readonly resolverFolder: string;
  /** How much JetStream may keep on disk. */
  readonly maxStoreBytes: number;
  readonly systemAccount: string;
  /** JWTs of the accounts by public key. */
  readonly accounts: Readonly<Record<string, string>>;
  /** From 2.10 on the server can be told how soon a message must be on the disk itself, not in its cache. */
  readonly canSync: boolean;
}

/** Of one message: what a chunk of a model may have. */
export const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;

export function serverConfig(config: ServerConfig): string {
  const { host, port, websocketPort, monitorPort, certificateFile, keyFile } = config;
  const tls = `{ cert_file: ${quoted(certificateFile)}, key_file: ${quoted(keyFile)}, timeout: 10 }`;
  return `# Made by fedrad orchestrator init for workspace ${config.workspaceName}; made anew when a hospital is revoked. nats-server -c <this file>

server_name: ${quoted(`fedrad-${config.workspaceName}`)}
host: ${quoted(host)}
port: ${port}
tls: ${tls}

# A chunk of a model is one message; the JWT of a hospital travels in one line.
max_payload: ${MAX_PAYLOAD_BYTES}
max_control_line: 32768
max_pending: ${8 * MAX_PAYLOAD_BYTES}
# A slow link gets a minute for what is under way; a dead one is known by its pings.
write_deadline: "60s"
ping_interval: "10s"
ping_max: 3

jetstream: {
  store_dir: ${quoted(config.storeFolder)}
  max_mem: 16MB
  max_file: ${config.maxStoreBytes}${config.canSync ? '\n  sync_interval: "5s"' : ''}
}
${
  websocketPort === undefined
    ? ''
    : `
websocket: {
  host: ${quoted(host)}
  port: ${websocketPort}
  tls: ${tls}
  handshake_timeout: "10s"
}
`
}${monitorPort === undefined ? '' : `\nhttp: "127.0.0.1:${monitorPort}"\n`}
operator: ${quoted(config.operatorFile)}
system_account: ${config.systemAccount}
resolver: {
  type: full
  dir: ${quoted(config.resolverFolder)}
  allow_delete: true
  interval: "2m"
}
resolver_preload: {
${Object.entries(config.accounts)
  .map(([key, jwt]) => `  ${key}: ${jwt}`)
  .join('\n')}
}
`;
}

/** A string as nats-server reads it: JSON, without its escapes of Unicode. */
const quoted = (text: string): string => JSON.stringify(text);
