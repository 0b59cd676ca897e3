/**
 * @file Hosts with a network of their own on one machine: a Linux network namespace for each, joined by veth pairs to a bridge in a router's
 * namespace. Nothing is routed to or from the machine itself. Needs root and iproute2; elsewhere {@link openLoopback} gives hosts that
 * share 127.0.0.1 and cannot be cut off.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTool, toolWorks } from './tool.ts';

export interface Host {
  readonly name: string;
  /** Where other hosts reach it. */
  readonly address: string;
  /** The command that runs a program on this host. */
  command(file: string, args: readonly string[]): readonly [file: string, args: readonly string[]];
  /** Pulls the cable: nothing passes, and nobody is told. Undefined where hosts share the machine's network. */
  readonly cut: (() => void) | undefined;
  readonly mend: () => void;
}

export interface Network {
  readonly kind: 'namespaces' | 'loopback';
  readonly hosts: ReadonlyMap<string, Host>;
  /** Where proxies run: it has `proxyAddress` of each host. */
  readonly router: Host;
  /** The address that stands for the server to this host. */
  proxyAddress(host: string): string;
  close(): void;
}

const PREFIX = 'fedrad-test-';
const SUBNET = '10.77.0';
const FIRST_HOST = 10;
const FIRST_PROXY = 110;
const NETNS_CONFIG = '/etc/netns';
const NETNS_FOLDER = '/run/netns';
/** Each network of this process has its own number. */
let opened = 0;

/** Undefined where network namespaces can be made, else why not. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  if (!toolWorks('ip', '-V')) return 'ip is not installed (Debian: iproute2)';
  const probe = `${PREFIX}${process.pid}-probe`;
  if (!toolWorks('ip', 'netns', 'add', probe)) return 'network namespaces are not permitted here';
  const worked = toolWorks('ip', '-n', probe, 'link', 'add', 'name', 'bridge', 'type', 'bridge');
  runTool('ip', ['netns', 'delete', probe]);
  return worked ? undefined : 'bridges are not permitted here';
}

/**
 * Makes the namespaces. Each host resolves `serverName` to its own proxy address on the router, so that one URL is right everywhere and
 * yet each host has a link of its own.
 */
export function openNamespaces(names: readonly string[], serverName: string): Network {
  removeLeftovers();
  const network = `${PREFIX}${process.pid}-${opened++}-`;
  const space = (name: string): string => `${network}${name}`;
  const router = space('router');
  const spaces = [router, ...names.map(space)];
  const close = (): void => {
    for (const each of spaces) removeSpace(each);
  };
  try {
    batch(undefined, [
      ...spaces.map((each) => `netns add ${each}`),
      ...names.map((name, n) => `link add name v${n} netns ${router} type veth peer name eth0 netns ${space(name)}`),
    ]);
    batch(router, [
      'link set lo up',
      'link add name bridge type bridge',
      `address add ${SUBNET}.1/24 dev bridge`,
      ...names.map((_, n) => `address add ${SUBNET}.${FIRST_PROXY + n}/24 dev bridge`),
      'link set bridge up',
      ...names.flatMap((_, n) => [`link set v${n} master bridge`, `link set v${n} up`]),
    ]);
    for (const [n, name] of names.entries()) {
      batch(space(name), ['link set lo up', `address add ${SUBNET}.${FIRST_HOST + n}/24 dev eth0`, 'link set eth0 up']);
      // `ip netns exec` puts this over /etc/hosts.
      const config = join(NETNS_CONFIG, space(name));
      mkdirSync(config, { recursive: true });
      writeFileSync(join(config, 'hosts'), `127.0.0.1 localhost\n${SUBNET}.${FIRST_PROXY + n} ${serverName}\n`);
    }
  } catch (error) {
    close();
    throw error;
  }
  const command = (inside: string): Host['command'] => {
    return (file, args) => ['ip', ['netns', 'exec', inside, file, ...args]];
  };
  const hosts = names.map((name, n): Host => {
    // On the router's side: the host sees its carrier go, as with a cable that is pulled, and keeps its address.
    const link = (state: string): void => void runTool('ip', ['-n', router, 'link', 'set', `v${n}`, state]);
    return {
      name,
      address: `${SUBNET}.${FIRST_HOST + n}`,
      command: command(space(name)),
      cut: () => link('down'),
      mend: () => link('up'),
    };
  });
  return {
    kind: 'namespaces',
    hosts: new Map(hosts.map((host) => [host.name, host])),
    router: { name: 'router', address: `${SUBNET}.1`, command: command(router), cut: undefined, mend: () => {} },
    proxyAddress: (host) => `${SUBNET}.${FIRST_PROXY + names.indexOf(host)}`,
    close,
  };
}

/** Hosts that are all this machine. */
export function openLoopback(names: readonly string[]): Network {
  const host = (name: string): Host => ({
    ...{ name, address: '127.0.0.1', cut: undefined, mend: () => {} },
    command: (file, args) => [file, args],
  });
  return {
    kind: 'loopback',
    hosts: new Map(names.map((name) => [name, host(name)])),
    router: host('router'),
    proxyAddress: () => '127.0.0.1',
    close: () => {},
  };
}

function batch(space: string | undefined, lines: readonly string[]): void {
  runTool('ip', [...(space === undefined ? [] : ['-n', space]), '-batch', '-'], lines.join('\n'));
}

/** Of test runs whose process was killed: its pid is in the name. */
function removeLeftovers(): void {
  if (!existsSync(NETNS_FOLDER)) return;
  for (const name of readdirSync(NETNS_FOLDER)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(join('/proc', pid))) removeSpace(name);
  }
}

function removeSpace(space: string): void {
  rmSync(join(NETNS_CONFIG, space), { recursive: true, force: true });
  if (existsSync(join(NETNS_FOLDER, space))) runTool('ip', ['netns', 'delete', space]);
}
