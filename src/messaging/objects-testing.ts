/** @file For tests: a nats-server of one's own, and a process that sends or fetches, to be killed in the middle. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connect, type NatsConnection } from '@nats-io/transport-node';

export interface TestServer {
  readonly port: number;
  /** JetStream's files. */
  readonly store: string;
  kill(): Promise<void>;
  start(): Promise<void>;
  connect(options?: { user?: string; pass?: string; inboxPrefix?: string }): Promise<NatsConnection>;
}

/** Starts nats-server on a free port with file storage; gone after the test. */
export async function startServer(context: TestContext, more = ''): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-nats-'));
  const port = await freePort();
  const store = join(folder, 'store');
  const config = join(folder, 'nats.conf');
  await writeFile(
    config,
    `listen: "127.0.0.1:${port}"\nmax_payload: 8MB\njetstream { store_dir: ${JSON.stringify(store)} }\n${more}`,
  );
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  const start = async (): Promise<void> => {
    child = spawn('nats-server', ['-c', config], {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
    });
    for (let tries = 0; ; tries++) {
      try {
        await (await connect({ port, reconnect: false, timeout: 1000 })).close();
        return;
      } catch (error) {
        // Credentials are refused by a server that runs.
        if (/authorization/i.test(String(error))) return;
        if (tries === 100) throw error;
        await setTimeout(50);
      }
    }
  };
  const connections: NatsConnection[] = [];
  context.after(async () => {
    for (const connection of connections) await connection.close();
    await kill();
    await rm(folder, { recursive: true, force: true });
  });
  await start();
  return {
    port,
    store,
    kill,
    start,
    connect: async (options = {}) => {
      const connection = await connect({ port, maxReconnectAttempts: -1, reconnectTimeWait: 50, ...options });
      connections.push(connection);
      return connection;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
