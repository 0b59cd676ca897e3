/**
 * @file Finds a Python with PyTorch on this machine, and what a sandbox must show it. Asked before a run starts, so that a hospital
 * without PyTorch hears of it then, in one line.
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, isAbsolute, join, resolve, sep } from 'node:path';
import { z } from 'zod';
import { fail } from '../../base/index.ts';
import { type PythonPaths, pythonPaths } from './python-paths.ts';
import { type Environment, lastLine, outputOf } from './run-python.ts';

/** The trainer; the same file answers what its Python has (`--probe`). */
export const TRAINER = join(import.meta.dirname, 'train_in_silo.py');

/** Names the Python that trains, in the environment of fedrad and in that of a step. */
export const PYTHON_VARIABLE = 'FEDRAD_PYTHON';
/** How many GPUs were found before the run, in the environment of a step: it must find them too. */
export const GPUS_VARIABLE = 'FEDRAD_GPUS';

const probeSchema = z.object({
  torch: z.string(),
  gpus: z.array(z.string()),
  distributed: z.boolean(),
});

export interface Torch {
  /** Absolute path of the Python. */
  readonly python: string;
  /** PyTorch's version. */
  readonly torch: string;
  /** Names of the GPUs that it can use. */
  readonly gpus: readonly string[];
  /** Files and folders that it reads: its own and its packages. */
  readonly read: readonly string[];
  /** Devices that it opens. */
  readonly devices: readonly string[];
  /** Environment of the step. */
  readonly environment: Readonly<Record<string, string>>;
}

const INSTALL = `pip install torch, or on Debian apt install python3-torch; or set ${PYTHON_VARIABLE} to a Python that has it`;

export interface FindOptions {
  /** Default: this process's. */
  readonly environment?: Environment;
  /** Home of fedrad: no folder around it or in it is taken for one of packages. Default: none. */
  readonly home?: string;
}

/**
 * The Python that `FEDRAD_PYTHON` names, or else the first `python3` on the path that has PyTorch. It is asked in the environment that
 * a step has, so what it has now it has then. Throws FedradError with `where` and what to install.
 */
export async function findTorch(where: string, options: FindOptions = {}): Promise<Torch> {
  const { environment = process.env, home } = options;
  const named = environment[PYTHON_VARIABLE];
  const candidates = named === undefined || named === '' ? onPath(environment) : [located(named, environment)];
  const problems: string[] = [];
  for (const python of candidates) {
    const paths = await pythonPaths(python, environment, { home, currentFolder: process.cwd() });
    const found = typeof paths === 'string' ? paths : await probe(python, paths, environment);
    if (typeof found !== 'string') return found;
    problems.push(found);
  }
  return fail(where, problems[0] === undefined ? 'no python3 on this machine' : problems.join('; '), INSTALL);
}

const searchPath = ({ PATH = '' }: Environment): string[] =>
  PATH.split(delimiter).filter((folder) => isAbsolute(folder));

/** The absolute path of a name or path. */
const located = (named: string, environment: Environment): string =>
  named.includes(sep)
    ? resolve(named)
    : (searchPath(environment)
        .map((folder) => join(folder, named))
        .find((path) => existsSync(path)) ?? named);

/**
 * Every python3 on the path, and the system's, each folder once. Not each file once: that of a virtual environment is a link to the
 * Python it was made from, and what it is called by tells it which of the two it is.
 */
function onPath(environment: Environment): string[] {
  const there = [...searchPath(environment), '/usr/bin'].filter((folder) => existsSync(join(folder, 'python3')));
  const folders = new Map(there.toReversed().map((folder) => [realpathSync(folder), folder]));
  return [...folders.values()].toReversed().map((folder) => join(folder, 'python3'));
}

/** What this Python has, or in words why it cannot train. */
async function probe(python: string, paths: PythonPaths, environment: Environment): Promise<Torch | string> {
  const chosen = environment['CUDA_VISIBLE_DEVICES'];
  const passed = {
    ...(paths.added.length > 0 ? { PYTHONPATH: paths.added.join(delimiter) } : {}),
    ...(chosen === undefined ? {} : { CUDA_VISIBLE_DEVICES: chosen }),
  };
  let output: unknown;
  try {
    output = await outputOf(paths.python, [TRAINER, '--probe'], {
      ...passed,
      // As a step has them.
      ...{ HOME: tmpdir(), TMPDIR: tmpdir(), PYTHONNOUSERSITE: '1' },
    });
  } catch (error) {
    return `${python} does not run PyTorch (${lastLine(error)})`;
  }
  const found = probeSchema.safeParse(output);
  if (!found.success) return `${python} has no PyTorch`;
  const { distributed, ...facts } = found.data;
  const [major = 0, minor = 0] = facts.torch.split('.').map((part) => Number.parseInt(part, 10));
  if (major < 1 || (major === 1 && minor < 13)) return `${python} has PyTorch ${facts.torch}, expected 1.13 or newer`;
  if (!distributed) return `${python} has a PyTorch without torch.distributed`;
  return {
    ...facts,
    python: paths.python,
    read: paths.read,
    devices: facts.gpus.length > 0 ? gpuDevices() : [],
    environment: { [PYTHON_VARIABLE]: paths.python, [GPUS_VARIABLE]: String(facts.gpus.length), ...passed },
  };
}

/** Of NVIDIA, and of AMD (kfd, dri). */
const gpuDevices = (): string[] =>
  readdirSync('/dev')
    .filter((name) => /^(nvidia.*|kfd|dri)$/.test(name))
    .map((name) => join('/dev', name));

/** Which arithmetic trains, in a few words: bits repeat only with the same. */
export const describeTorch = ({ torch, gpus }: Torch): string => `PyTorch ${torch} on ${gpus[0] ?? 'the CPU'}`;
