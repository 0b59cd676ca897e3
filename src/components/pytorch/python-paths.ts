/**
 * @file Which folders a Python reads, and which of them a step may be shown: its own and its packages, never a folder that would show
 * a hospital's data with them.
 */
import { realpathSync } from 'node:fs';
import { delimiter, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { type Environment, lastLine, outputOf } from './run-python.ts';

const PATHS = join(import.meta.dirname, 'paths.py');

const pathsSchema = z.object({
  python: z.string(),
  own: z.array(z.string()),
  packages: z.array(z.string()),
  added: z.array(z.string()),
});

export interface PythonPaths {
  /** Absolute path of the Python. */
  readonly python: string;
  /** Files and folders that it reads. */
  readonly read: readonly string[];
  /** Package folders that it must be told of: PYTHONPATH, the user's own. */
  readonly added: readonly string[];
}

export interface Private {
  /** Where fedrad keeps everything, datastores too. */
  readonly home: string | undefined;
  readonly currentFolder: string;
}

/** The paths of this Python, or in words why it cannot be used. */
export async function pythonPaths(
  python: string,
  environment: Environment,
  { home, currentFolder }: Private,
): Promise<PythonPaths | string> {
  const { PYTHONPATH, ...rest } = environment;
  const told = absoluteEntries(PYTHONPATH);
  let found: z.infer<typeof pathsSchema> | undefined;
  try {
    const output = await outputOf(python, [PATHS], { ...rest, ...(told === '' ? {} : { PYTHONPATH: told }) });
    found = pathsSchema.safeParse(output).data;
  } catch (error) {
    return (error as { code?: unknown }).code === 'ENOENT'
      ? `there is no ${python}`
      : `${python} does not run (${lastLine(error)})`;
  }
  if (!found) return `${python} is no Python`;
  const around = found.own.find((path) => home !== undefined && contains(path, home));
  if (around !== undefined) return `${python} reads ${around}, in which the home ${home} lies`;
  const packages = found.packages.filter((path) => home === undefined || !contains(path, home));
  const added = found.added.filter(
    (path) =>
      !path.includes(delimiter) &&
      !contains(path, currentFolder) &&
      (home === undefined || !(contains(path, home) || contains(home, path))),
  );
  return { python: found.python, read: [...found.own, ...packages, ...added], added };
}

/** An empty or relative entry means the current folder, whatever lies there. */
const absoluteEntries = (path = ''): string =>
  path
    .split(delimiter)
    .filter((entry) => isAbsolute(entry))
    .join(delimiter);

/** Whether `inner` is `outer` or lies in it, links followed. */
function contains(outer: string, inner: string): boolean {
  const way = relative(real(outer), real(inner));
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
