/**
 * @file A whole federation on hosts of its own, as operators set it up with fedrad's commands: a host for the orchestrator and nats-server,
 * one for each hospital, a link that can be spoiled between each of them and the server, and a small disk for each hospital.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, natsServer } from '../../src/messaging/testing.ts';
import { program } from '../cli.ts';
import { type Disk, openDisk } from './disk.ts';
import { openLinks } from './links.ts';
import { type Host, type Network, openLoopback, openNamespaces, whyNoNamespaces } from './network.ts';
import { logTail, prepareProgram, type Running, type UnexpectedEnd, waitFor } from './process.ts';
import type { Link } from './tcp-proxy.ts';
import { type Cleanup, runToEnd } from './tool.ts';

const REPEAT_WORK = join(import.meta.dirname, '..', 'chaos', 'repeat-work.ts');
const SERVER_NAME = 'nats.hospitals.test';
const ORCHESTRATOR_HOST = 'hq';
const DISK_MEGABYTES = 512;
const READY_MS = 30_000;
const JOIN_TRIES = 5;

export interface Hospital {
  /** `silo0` */
  readonly name: string;
  readonly host: Host;
  readonly home: string;
  readonly disk: Disk;
  readonly agent: Running;
}

export interface Hospitals {
  readonly network: Network['kind'];
  /** Of the orchestrator. */
  readonly home: string;
  readonly server: Running;
  readonly orchestrator: Running;
  readonly hospitals: readonly Hospital[];
  /** By host; on loopback the same link for all. */
  readonly links: ReadonlyMap<string, Link>;
  /** Runs a command of fedrad on the orchestrator's host. @throws Error with what it said unless it ends with 0 */
  fedrad(...args: readonly string[]): Promise<string>;
  /** Gives out again the work that is given out at the moment; how many messages. */
  repeatWork(): Promise<number>;
}

export interface HospitalsOptions {
  readonly folder: string;
  readonly silos: number;
  /** A folder that the agents may read images from, if any. */
  readonly imports?: string;
  /** Hears of programs that end though nobody ended them. */
  readonly onEnd: (end: UnexpectedEnd) => void;
}

/** Sets it all up; everything ends with the test. */
export async function startHospitals(
  t: Cleanup,
  { folder, silos, imports, onEnd }: HospitalsOptions,
): Promise<Hospitals> {
  const names = Array.from({ length: silos }, (_, silo) => `silo${silo}`);
  const hostNames = [ORCHESTRATOR_HOST, ...names];
  const separate = whyNoNamespaces() === undefined;
  const network = separate ? openNamespaces(hostNames, SERVER_NAME) : openLoopback(hostNames);
  t.after(() => network.close());
  const hostOf = (name: string): Host => network.hosts.get(name)!;
  const hq = hostOf(ORCHESTRATOR_HOST);
  const [dialed, served] = (await freePorts(2)) as [number, number];
  const home = join(folder, 'orchestrator');
  const on = (host: Host, ownHome: string, args: readonly string[]): Promise<string> =>
    runOn(host, process.execPath, [program, '--home', ownHome, ...args]);
  const fedrad: Hospitals['fedrad'] = (...args) => on(hq, home, args);

  await fedrad('provision', '--silos', String(silos));
  const url = `tls://${separate ? SERVER_NAME : '127.0.0.1'}:${dialed}`;
  await fedrad('orchestrator', 'init', '--url', url, '--nats-port', String(served));
  // What a proxy resets it does not report: each host's link starts at the router and ends at the server.
  const ends = separate ? hostNames : [ORCHESTRATOR_HOST];
  const proxies = ends.map((name) => {
    const listen = { host: network.proxyAddress(name), port: dialed };
    return [name, { listen, target: { host: hq.address, port: served } }] as const;
  });
  const opened = await openLinks(t, network.router, Object.fromEntries(proxies));
  const links = new Map(hostNames.map((name) => [name, opened.get(separate ? name : ORCHESTRATOR_HOST)!]));

  const prepare = (name: string, host: Host, file: string, args: readonly string[]): Running => {
    const logFile = join(folder, `${name}.log`);
    return prepareProgram(t, { name, host, file, args, environment: {}, logFile }, onEnd);
  };
  const config = join(home, 'workspaces', 'aml-fldemo', 'federation', 'nats-server.conf');
  const server = prepare('nats-server', hq, natsServer!, ['-c', config]);
  server.start();
  await ready(server, 'Server is ready');
  const own = ['--home', home, 'orchestrator', 'start', '--http', '127.0.0.1:0'];
  const orchestrator = prepare('orchestrator', hq, process.execPath, [program, ...own]);
  orchestrator.start();

  const hospitals: Hospital[] = [];
  for (const name of names) {
    const host = hostOf(name);
    const ownHome = join(folder, name);
    mkdirSync(ownHome, { mode: 0o700 });
    const disk = openDisk(t, ownHome, DISK_MEGABYTES);
    const invited = await fedrad('silo', 'invite', name);
    const line = /fedrad-invite:\S+/.exec(invited)?.[0] ?? fail(`no invitation in ${invited}`);
    await again(() => on(host, ownHome, ['silo', 'join', line]));
    const agent = prepare(name, host, process.execPath, [
      program,
      '--home',
      ownHome,
      'agent',
      ...(imports === undefined ? [] : ['--import', imports]),
    ]);
    agent.start();
    hospitals.push({ name, host, home: ownHome, disk, agent });
  }
  const repeatWork = async (): Promise<number> => Number(await runOn(hq, process.execPath, [REPEAT_WORK, home]));
  return { network: network.kind, home, server, orchestrator, hospitals, links, fedrad, repeatWork };
}

const fail = (problem: string): never => {
  throw new Error(problem);
};

/** The orchestrator may not answer yet. */
async function again(action: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await action();
      return;
    } catch (error) {
      if (tries === JOIN_TRIES) throw error;
    }
  }
}

const ready = (running: Running, text: string): Promise<boolean> =>
  waitFor(
    `${running.name}: ${text}`,
    () => logTail(running.logFile, 1000).includes(text) || undefined,
    READY_MS,
  ) as Promise<boolean>;

/** Runs a program on a host to its end. */
const runOn = (host: Host, file: string, args: readonly string[]): Promise<string> =>
  runToEnd(...host.command(file, args));
