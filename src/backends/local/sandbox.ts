/**
 * @file The sandbox of a step: what it may read, write and reach. Two walls, one behind the other:
 *
 * - bubblewrap (Linux namespaces): only the named paths exist, no network, no other processes, an empty environment;
 * - Node's permission model: the same paths, no child processes, no eval. It holds everywhere, but it is not a wall against a
 *   worker thread, which could read what the main thread could not (seen on Node 26). So without bubblewrap a step gets no
 *   worker threads.
 *
 * A step that trains in PyTorch starts Python, which the second wall does not hold: without bubblewrap Python is not confined at all.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export type SandboxKind = 'bubblewrap' | 'node-permissions';

export interface Confinement {
  /** Files and folders that can be read. */
  readonly read: readonly string[];
  /** Folders that can be read and written. */
  readonly write: readonly string[];
  readonly network: boolean;
  readonly workerThreads: boolean;
  /** Native add-ons: the image decoder. */
  readonly addons: boolean;
  /** Programs that it starts: Python with PyTorch. */
  readonly childProcesses: boolean;
  /** Files of /dev that it opens: GPUs. */
  readonly devices: readonly string[];
  /** Its whole environment. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Reads and writes nothing, reaches nothing. */
export const NOTHING: Confinement = {
  read: [],
  write: [],
  network: false,
  workerThreads: false,
  addons: false,
  childProcesses: false,
  devices: [],
  environment: {},
};

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * glibc: large blocks in huge pages. A step touches hundreds of MB once, and half of an aggregation's time went into page faults. Other C
 * libraries take no notice. (https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html)
 */
const HUGE_PAGES = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };
/** Where glibc looks whether there are any. */
const HUGE_PAGES_PATH = '/sys/kernel/mm/transparent_hugepage';

/** The folder of the fedrad package, in a checkout or installed. */
const packageFolder = join(import.meta.dirname, '..', '..', '..');

/** What the code of fedrad itself needs to be read: its modules, kernels and dependencies, never a home inside the package. */
function programPaths(): string[] {
  const parent = dirname(packageFolder);
  return [
    ...['src', 'dist', 'bin', 'kernels/build', 'package.json', 'node_modules'].map((path) => join(packageFolder, path)),
    ...(basename(parent) === 'node_modules' ? [parent] : []),
  ].filter((path) => existsSync(path));
}

/** What a Linux process needs of the system: its libraries. */
const SYSTEM_PATHS = [
  ...['/usr', '/lib', '/lib64', '/lib32', '/bin', '/etc/ld.so.cache', '/etc/alternatives'],
  HUGE_PAGES_PATH,
];
const NETWORK_PATHS = ['/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf', '/etc/ssl', '/etc/ca-certificates'];
/** Where a GPU's driver looks which GPUs there are and how they are joined. */
const DEVICE_PATHS = ['/sys/bus', '/sys/class', '/sys/dev', '/sys/devices', '/sys/module'];

/** The strongest sandbox that works on this machine. Tried, not guessed: some systems forbid namespaces. */
export function detectSandbox(): SandboxKind {
  if (process.platform !== 'linux') return 'node-permissions';
  const { file, args } = bubblewrapped(NOTHING, ['/bin/true']);
  return spawnSync(file, args, { timeout: 10_000, stdio: 'ignore' }).status === 0 ? 'bubblewrap' : 'node-permissions';
}

/** The command that runs `node <script> <args>` inside the sandbox. */
export function confine(kind: SandboxKind, confinement: Confinement, script: string, args: readonly string[]): Command {
  const read = [...programPaths(), ...confinement.read];
  const workers = confinement.workerThreads && kind === 'bubblewrap';
  const node = [
    process.execPath,
    '--permission',
    ...[...read, ...confinement.write].map((path) => `--allow-fs-read=${path}`),
    ...confinement.write.map((path) => `--allow-fs-write=${path}`),
    ...(workers ? ['--allow-worker'] : []),
    ...(confinement.addons ? ['--allow-addons'] : []),
    ...(confinement.network ? ['--allow-net'] : []),
    ...(confinement.childProcesses ? ['--allow-child-process'] : []),
    '--disallow-code-generation-from-strings',
    '--disable-warning=SecurityWarning',
    script,
    ...args,
  ];
  return kind === 'bubblewrap'
    ? bubblewrapped({ ...confinement, read: [...read, dirname(realpathSync(process.execPath))] }, node)
    : { file: node[0]!, args: node.slice(1), env: { ...HUGE_PAGES, ...confinement.environment } };
}

function bubblewrapped(
  { read, write, network, devices, environment }: Confinement,
  command: readonly string[],
): Command {
  const bind = (option: string, path: string): string[] => (existsSync(path) ? [option, path, path] : []);
  return {
    file: 'bwrap',
    env: {},
    args: [
      '--unshare-all',
      ...(network ? ['--share-net'] : []),
      '--die-with-parent',
      '--new-session',
      // As root it would otherwise keep the right to mount read-only folders anew.
      ...['--cap-drop', 'ALL'],
      '--clearenv',
      ...Object.entries({ HOME: '/tmp', ...HUGE_PAGES, ...environment }).flatMap(([name, value]) => [
        '--setenv',
        name,
        value,
      ]),
      ...['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'],
      ...[...SYSTEM_PATHS, ...(network ? NETWORK_PATHS : [])].flatMap((path) => bind('--ro-bind', path)),
      ...devices.flatMap((path) => bind('--dev-bind', path)),
      ...(devices.length > 0 ? DEVICE_PATHS : []).flatMap((path) => bind('--ro-bind', path)),
      ...read.flatMap((path) => bind('--ro-bind', path)),
      ...write.flatMap((path) => bind('--bind', path)),
      '--',
      ...command,
    ],
  };
}
