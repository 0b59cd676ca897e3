/**
 * @file Tracking as an `mlruns/` folder, in the layout of MLflow's own file store (mlflow/store/tracking/file_store.py, MLflow 2.x and 3.x):
 *
 *     <folder>/<experiment>/meta.yaml
 *     <folder>/<experiment>/<run>/meta.yaml, metrics/<name> (lines "time value step"), params/<name>, tags/<name>, artifacts/
 *
 * Files are private to their owner. It adds to a folder that MLflow has made, and never removes anything; a deleted experiment (in
 * `.trash/`) is not looked at.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { fail, messageOf } from '../base/index.ts';
import { besidePath, codeOf, makePrivateFolder, waitForLock, writeFileAtomic } from '../workspace/index.ts';
import { trackedName } from './names.ts';
import { type Entries, type NewRun, Refused, RUN_ID, type RunStatus, type TrackingStore } from './store.ts';

/** Numbers of mlflow.entities.RunStatus. */
const STATUS: Readonly<Record<RunStatus, number>> = { RUNNING: 1, FINISHED: 3, FAILED: 4, KILLED: 5 };
/** mlflow.entities.SourceType.LOCAL */
const SOURCE_LOCAL = 4;
const META = 'meta.yaml';
const DEFAULT_EXPERIMENT = { id: '0', name: 'Default' };
/** MLflow reads folders only. */
const LOCK = '.fedrad-lock';

const experimentSchema = z.looseObject({
  experiment_id: z.union([z.string(), z.int()]).transform(String),
  name: z.string(),
  lifecycle_stage: z.string().default('active'),
});
const runSchema = z.looseObject({ run_id: z.string(), experiment_id: z.union([z.string(), z.int()]) });

/** @param folder an mlruns folder, or one to be made. @param now milliseconds, for the creation time of experiments */
export function folderStore(folder: string, now: () => number): TrackingStore {
  const runFolders = new Map<string, string>();
  /** What the disk says is the user's to mend, not a defect. */
  const explained = async <T>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action();
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      return fail(folder, messageOf(error), 'give a folder that this user may write to');
    }
  };

  const runFolder = async (runId: string): Promise<string> => {
    if (!RUN_ID.test(runId)) throw new Refused({ where: folder, problem: `"${runId}" is no id of a run` });
    const known = runFolders.get(runId);
    if (known !== undefined) return known;
    for (const experiment of await subfolders(folder)) {
      const candidate = join(folder, experiment, runId);
      if ((await readMeta(candidate, runSchema)) === undefined) continue;
      runFolders.set(runId, candidate);
      return candidate;
    }
    throw new Refused({ where: folder, problem: `there is no run ${runId}` });
  };

  const makeExperiment = async (id: string, name: string): Promise<string> => {
    const at = now();
    await writeMeta(join(folder, id), {
      artifact_location: pathToFileURL(join(folder, id)).href,
      creation_time: at,
      experiment_id: id,
      last_update_time: at,
      lifecycle_stage: 'active',
      name,
    });
    return id;
  };

  const experiment = async (name: string): Promise<string> => {
    // Two processes of one name would make it twice.
    using _lock = await waitForLock(join(folder, LOCK), folder);
    const ids = await subfolders(folder);
    if (ids.length === 0) await makeExperiment(DEFAULT_EXPERIMENT.id, DEFAULT_EXPERIMENT.name);
    for (const id of ids) {
      const meta = await readMeta(join(folder, id), experimentSchema);
      if (meta?.name === name && meta.experiment_id === id && meta.lifecycle_stage === 'active') return id;
    }
    // Awaited, so that the lock is held until it is there.
    return await makeExperiment(newExperimentId(), name);
  };

  const startRun = async ({ experimentId, name, startedAt, tags }: NewRun): Promise<string> => {
    const id = randomUUID().replaceAll('-', '');
    const place = join(folder, experimentId, id);
    const unfinished = besidePath(place);
    try {
      for (const part of ['metrics', 'params', 'artifacts', 'tags']) await makePrivateFolder(join(unfinished, part));
      for (const [tag, value] of Object.entries({ 'mlflow.runName': name, ...tags }))
        await writeNew(join(unfinished, 'tags', trackedName(tag)), value);
      await writeMeta(unfinished, {
        artifact_uri: pathToFileURL(join(place, 'artifacts')).href,
        deleted_time: null,
        end_time: null,
        entry_point_name: '',
        experiment_id: experimentId,
        lifecycle_stage: 'active',
        run_id: id,
        run_name: name,
        run_uuid: id,
        source_name: '',
        source_type: SOURCE_LOCAL,
        source_version: '',
        start_time: startedAt,
        status: STATUS.RUNNING,
        tags: [],
        user_id: '',
      });
      await rename(unfinished, place);
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true });
      throw error;
    }
    return id;
  };

  const log = async (runId: string, { metrics = [], params = {} }: Entries): Promise<void> => {
    const place = await runFolder(runId);
    for (const [name, value] of Object.entries(params)) await writeParam(place, name, value);
    for (const [name, points] of Map.groupBy(metrics, (point) => trackedName(point.name))) {
      const file = join(place, 'metrics', name);
      await entry(place, name, async () => {
        await mkdir(dirname(file), { recursive: true, mode: 0o700 });
        const lines = points.map(({ at, value, step }) => `${at} ${value} ${step}\n`).join('');
        await appendFile(file, lines, { mode: 0o600 });
      });
    }
  };

  const setStatus = async (runId: string, status: RunStatus, endedAt?: number): Promise<void> => {
    const place = await runFolder(runId);
    const meta = await readMeta(place, runSchema);
    if (meta === undefined) throw new Refused({ where: folder, problem: `run ${runId} is gone` });
    await writeMeta(place, { ...meta, status: STATUS[status], end_time: endedAt ?? null });
  };

  return {
    where: folder,
    experiment: (name) => explained(() => experiment(name)),
    startRun: (run) => explained(() => startRun(run)),
    log: (runId, entries) => explained(() => log(runId, entries)),
    setStatus: (runId, status, endedAt) => explained(() => setStatus(runId, status, endedAt)),
  };
}

/** Throws where the folder holds something else: experiments would be strewn among it. */
export async function checkMlruns(folder: string): Promise<void> {
  const entries = await readdir(folder).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    return fail(folder, 'it is no folder that can be read', 'give an mlruns folder, or one to be made', error);
  });
  const own = entries.filter((name) => name !== '.trash' && name !== 'models' && !name.startsWith('.fedrad-'));
  if (own.length === 0) return;
  for (const name of own) if ((await readMeta(join(folder, name), experimentSchema)) !== undefined) return;
  fail(folder, 'it holds other things and no experiment of MLflow', 'give an mlruns folder, or one to be made');
}

/** As MLflow draws them: 18 digits. */
const newExperimentId = (): string =>
  `${randomInt(1, 10)}${String(randomInt(10 ** 8)).padStart(8, '0')}${String(randomInt(10 ** 9)).padStart(9, '0')}`;

async function subfolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((each) => each.isDirectory() && !each.name.startsWith('.')).map(({ name }) => name);
}

/** The description of a run or an experiment; undefined where there is none, or none that can be read, as MLflow has it. */
async function readMeta<T>(folder: string, schema: z.ZodType<T>): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, META), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
  try {
    return schema.safeParse(parse(text)).data;
  } catch {
    // Not YAML: somebody else's file.
    return undefined;
  }
}

async function writeMeta(folder: string, meta: Readonly<Record<string, unknown>>): Promise<void> {
  await makePrivateFolder(folder);
  // Ids of digits stay text for a reader of YAML 1.1, which Python's is.
  await writeFileAtomic(join(folder, META), stringify(meta, { version: '1.1', sortMapEntries: true, lineWidth: 0 }));
}

/** Made whole or not at all; what is there stays. */
async function writeNew(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(file, text, { flag: 'wx', mode: 0o600 });
}

const writeParam = (place: string, name: string, value: string): Promise<void> =>
  entry(place, name, async () => {
    const file = join(place, 'params', trackedName(name));
    try {
      await writeNew(file, value);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      const before = await readFile(file, 'utf8');
      if (before !== value)
        throw new Refused({ where: place, problem: `parameter ${name} is "${before}" and cannot become "${value}"` });
    }
  });

/** A name that is a folder for another name cannot be a file too. */
async function entry(place: string, name: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!['EISDIR', 'ENOTDIR', 'EEXIST'].includes(codeOf(error) ?? '')) throw error;
    throw new Refused({ where: place, problem: `${name} is a part of another name`, cause: error });
  }
}
