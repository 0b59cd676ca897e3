/**
 * @file What the tests of a federation share: a real nats-server on free ports, and a federation with hospitals that have joined. All of it
 * lies in a temporary folder and goes away with the test.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { provisionWorkspace } from '../workspace/index.ts';
import { type Federation, openFederation } from './federation.ts';
import { makeFederation } from './make-federation.ts';
import { joinFederation, type Membership } from './membership.ts';

/** A test's context, or whatever else undoes things at its end. */
export interface Cleanup {
  after(undo: () => unknown): void;
}

/** The program, or undefined where it is not installed. */
export const natsServer: string | undefined = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/bin']
  .map((folder) => join(folder, 'nats-server'))
  .find((path) => existsSync(path) && spawnSync(path, ['--version']).status === 0);

/** For `skip:` of a test that needs nats-server. */
export const skipWithoutNats: string | false = natsServer === undefined ? 'nats-server is not installed' : false;

export interface RunningNats {
  readonly pid: number;
  /** What it said so far. */
  log(): string;
  /** Ends it (default SIGTERM) and waits until it is gone. Harmless when it is. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const START_TIMEOUT_MS = 20_000;

/** Starts nats-server with this configuration file, and waits until it takes connections. */
export async function startNats(t: Cleanup, configFile: string): Promise<RunningNats> {
  const child = spawn(natsServer!, ['-c', configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  const exited = once(child, 'exit');
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await exited;
  };
  t.after(() => stop('SIGKILL'));
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!log.includes('Server is ready')) {
    if (child.exitCode !== null) throw new Error(`nats-server ended with ${child.exitCode}:\n${log}`);
    if (performance.now() > deadline) throw new Error(`nats-server is not ready after 20 s:\n${log}`);
    await sleep(20);
  }
  return { pid: child.pid!, log: () => log, stop };
}

/** Ports that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** A new folder that goes away with the test. */
export async function temporaryFolder(t: Cleanup, prefix = 'fedrad-federation-'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), prefix));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** An HTTP proxy that lets everybody through; `asked` are the hosts and ports that it was asked for. */
export async function startProxy(t: Cleanup): Promise<{ readonly url: string; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const sockets = new Set<Duplex>();
  const proxy = createHttpServer().on('connect', ({ url = '' }, socket) => {
    asked.push(url);
    const [host, port] = url.split(':');
    const upstream = dial(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    upstream.on('error', () => socket.destroy());
    socket.on('error', () => upstream.destroy());
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

export interface TestHospital {
  readonly compute: string;
  readonly home: string;
  readonly membership: Membership;
}

export interface TestFederation {
  readonly folder: string;
  /** Of the orchestrator, with the workspace. */
  readonly home: string;
  readonly workspaceName: string;
  readonly federation: Federation;
  readonly hospitals: readonly TestHospital[];
  /** `tls://127.0.0.1:port` and `wss://127.0.0.1:port`. */
  readonly url: string;
  readonly websocketUrl: string;
  /** The server that runs now. */
  server(): RunningNats;
  /** Starts it again, with the same ports and files, after it was stopped. */
  restart(): Promise<void>;
}

export interface TestFederationOptions {
  /** Hospitals of the workspace (default 3), and how many of them have joined (default all). */
  readonly silos?: number;
  readonly joined?: number;
  /** Host in the URLs, and the address to listen on (default 127.0.0.1). */
  readonly host?: string;
  /** Where it all lies (default: a temporary folder). */
  readonly folder?: string;
  /** URLs of HTTP proxies by which hospitals join and talk, by WebSocket (default: all by TCP). */
  readonly proxies?: Readonly<Record<string, string>>;
}

/** A provisioned workspace, its nats-server with TLS, and hospitals, each with a home of its own, that joined it. */
export async function startFederation(t: Cleanup, options: TestFederationOptions = {}): Promise<TestFederation> {
  const { silos = 3, joined = silos, host = '127.0.0.1', proxies = {} } = options;
  const folder = options.folder ?? (await temporaryFolder(t));
  const home = join(folder, 'orchestrator');
  const { workspaceName, computes } = await provisionWorkspace(home, { siloCount: silos });
  const [port, websocketPort] = await freePorts(2);
  const url = `tls://${host}:${port}`;
  const websocketUrl = `wss://${host}:${websocketPort}`;
  const { serverConfigFile } = await makeFederation(
    home,
    { workspaceName },
    { url, websocketUrl, host, maxStoreBytes: 8e9 },
  );
  let server = await startNats(t, serverConfigFile);
  const federation = await openFederation(home, workspaceName);
  const hospitals: TestHospital[] = [];
  const connection = await federation.connect('tests');
  const joins = federation.answerJoins(connection);
  for (const { name: compute } of computes.slice(1, 1 + joined)) {
    const ownHome = join(folder, compute);
    const { line } = await federation.invite(compute);
    const proxy = proxies[compute];
    const membership = await joinFederation(ownHome, line, proxy === undefined ? {} : { proxy });
    hospitals.push({ compute, home: ownHome, membership });
  }
  await joins.close();
  await connection.close();
  return {
    ...{ folder, home, workspaceName, federation, hospitals, url, websocketUrl },
    server: () => server,
    restart: async () => {
      await server.stop();
      server = await startNats(t, serverConfigFile);
    },
  };
}
