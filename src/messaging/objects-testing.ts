/** @file For tests of objects: a nats-server of one's own without credentials, to be killed and started again. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type Cleanup, freePorts, type RunningNats, startNats, temporaryFolder } from './testing.ts';

export interface TestServer {
  readonly port: number;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** A connection that comes back whenever the server does; closed after the test. */
  connect(): Promise<NatsConnection>;
}

/** Starts nats-server on a free port with file storage; gone after the test. */
export async function startServer(context: Cleanup): Promise<TestServer> {
  const folder = await temporaryFolder(context, 'fedrad-nats-');
  const [port] = (await freePorts(1)) as [number];
  const config = join(folder, 'nats.conf');
  const store = JSON.stringify(join(folder, 'store'));
  await writeFile(config, `listen: "127.0.0.1:${port}"\nmax_payload: 8MB\njetstream { store_dir: ${store} }\n`);
  let running: RunningNats = await startNats(context, config);
  return {
    port,
    kill: () => running.stop('SIGKILL'),
    start: async () => {
      running = await startNats(context, config);
    },
    connect: async () => {
      const connection = await connect({ port, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
      context.after(() => connection.close());
      return connection;
    },
  };
}
