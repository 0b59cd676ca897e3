/**
 * @file Finds a Python with PyTorch on this machine, and what a sandbox must show it. Asked before a run starts, so that a hospital
 * without PyTorch hears of it then, in one line.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { fail } from '../../base/index.ts';

/** The trainer; the same file answers what its Python has (`--probe`). */
export const TRAINER = join(import.meta.dirname, 'train_in_silo.py');

/** Names the Python that trains, in the environment of fedrad and in that of a step. */
export const PYTHON_VARIABLE = 'FEDRAD_PYTHON';
/** How many GPUs were found before the run, in the environment of a step: it must find them too. */
export const GPUS_VARIABLE = 'FEDRAD_GPUS';

const probeSchema = z.object({
  python: z.string(),
  torch: z.string(),
  gpus: z.array(z.string()),
  distributed: z.boolean(),
  read: z.array(z.string()),
  packages: z.array(z.string()),
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

type Environment = Readonly<Record<string, string | undefined>>;

const INSTALL = `pip install torch, or on Debian apt install python3-torch; or set ${PYTHON_VARIABLE} to a Python that has it`;
/** The first import of PyTorch on a slow disk takes a while. */
const PROBE_TIMEOUT_MS = 120_000;

/**
 * The Python that `FEDRAD_PYTHON` names, or else the first `python3` on the path that has PyTorch. Throws FedradError with `where` and
 * what to install.
 */
export async function findTorch(where: string, environment: Environment = process.env): Promise<Torch> {
  const named = environment[PYTHON_VARIABLE];
  const candidates = named === undefined || named === '' ? onPath(environment) : [named];
  const problems: string[] = [];
  for (const python of candidates) {
    const found = await probe(python, environment);
    if (typeof found !== 'string') return found;
    problems.push(found);
  }
  return fail(where, problems[0] === undefined ? 'no python3 on this machine' : problems.join('; '), INSTALL);
}

/** Every python3 on the path, and the system's, each once. */
function onPath({ PATH = '' }: Environment): string[] {
  const folders = [...PATH.split(delimiter).filter((folder) => folder !== ''), '/usr/bin'];
  const there = folders.map((folder) => join(folder, 'python3')).filter((path) => existsSync(path));
  return [...new Map(there.map((path) => [realpathSync(path), path])).values()];
}

/** What this Python has, or in words why it cannot train. */
async function probe(python: string, environment: Environment): Promise<Torch | string> {
  let output: string;
  try {
    ({ stdout: output } = await promisify(execFile)(python, ['-B', TRAINER, '--probe'], {
      env: environment,
      timeout: PROBE_TIMEOUT_MS,
    }));
  } catch (error) {
    const { code } = error as { code?: unknown };
    return code === 'ENOENT' ? `there is no ${python}` : `${python} does not run PyTorch (${lastLine(error)})`;
  }
  const found = probeSchema.safeParse(jsonOrUndefined(output));
  if (!found.success) return `${python} has no PyTorch`;
  const { distributed, packages, ...facts } = found.data;
  const [major = 0, minor = 0] = facts.torch.split('.').map((part) => Number.parseInt(part, 10));
  if (major < 1 || (major === 1 && minor < 13)) return `${python} has PyTorch ${facts.torch}, expected 1.13 or newer`;
  if (!distributed) return `${python} has a PyTorch without torch.distributed`;
  const chosen = environment['CUDA_VISIBLE_DEVICES'];
  return {
    ...facts,
    devices: facts.gpus.length > 0 ? gpuDevices() : [],
    environment: {
      [PYTHON_VARIABLE]: facts.python,
      [GPUS_VARIABLE]: String(facts.gpus.length),
      ...(packages.length > 0 ? { PYTHONPATH: packages.join(delimiter) } : {}),
      ...(chosen === undefined ? {} : { CUDA_VISIBLE_DEVICES: chosen }),
    },
  };
}

/** Of NVIDIA, and of AMD (kfd, dri). */
const gpuDevices = (): string[] =>
  readdirSync('/dev')
    .filter((name) => /^(nvidia.*|kfd|dri)$/.test(name))
    .map((name) => join('/dev', name));

const lastLine = (error: unknown): string => {
  const { stderr, message } = error as { stderr?: string; message: string };
  const lines = `${message}\n${stderr ?? ''}`.split('\n').filter((line) => line.trim() !== '');
  return lines.at(-1)!.trim().slice(0, 200);
};

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Which arithmetic trains, in a few words: bits repeat only with the same. */
export const describeTorch = ({ torch, gpus }: Torch): string => `PyTorch ${torch} on ${gpus[0] ?? 'the CPU'}`;
