/**
 * @file Reads an mlruns folder as MLflow's file store does (mlflow/store/tracking/file_store.py and utils/validation.py, MLflow 2.20): what
 * that would refuse is refused here, with its reason. It is not MLflow, which needs Python and is not on the machines that run these tests.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { parse } from 'yaml';
import type { MlflowRun } from './mlflow.ts';

const STATUS = ['', 'RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'];
/** Those that mlflow.entities.RunInfo reads or file_store writes. */
const RUN_KEYS = [
  ...['artifact_uri', 'deleted_time', 'end_time', 'entry_point_name', 'experiment_id', 'lifecycle_stage', 'run_id'],
  ...[
    'run_name',
    'run_uuid',
    'source_name',
    'source_type',
    'source_version',
    'start_time',
    'status',
    'tags',
    'user_id',
  ],
];
const EXPERIMENT_KEYS = [
  ...['artifact_location', 'creation_time', 'experiment_id', 'last_update_time', 'lifecycle_stage', 'name'],
];

export interface Mlruns {
  /** Names by id. */
  readonly experiments: ReadonlyMap<string, string>;
  /** In the order of their start. */
  readonly runs: readonly MlflowRun[];
}

export function readMlruns(folder: string): Mlruns {
  const experiments = new Map<string, string>();
  const runs: MlflowRun[] = [];
  for (const id of folders(folder).filter((name) => name !== '.trash' && name !== 'models')) {
    const meta = yamlOf(join(folder, id), EXPERIMENT_KEYS);
    if (meta['experiment_id'] !== id) throw new Error(`experiment ID mismatch for ${id}`);
    if (!/^[a-zA-Z0-9][\w-]{0,63}$/.test(id)) throw new Error(`invalid experiment ID ${id}`);
    experiments.set(id, String(meta['name']));
    for (const run of folders(join(folder, id))) {
      if (['tags', 'datasets', 'traces'].includes(run)) continue;
      runs.push(readRun(join(folder, id, run), id, run));
    }
  }
  return { experiments, runs: runs.sort((a, b) => a.startTime - b.startTime) };
}

function readRun(folder: string, experimentId: string, id: string): MlflowRun {
  const meta = yamlOf(folder, RUN_KEYS);
  if (meta['experiment_id'] !== experimentId || meta['run_id'] !== id || meta['run_uuid'] !== id)
    throw new Error(`wrong ids recorded for run ${id}`);
  if (!/^[a-zA-Z0-9][\w-]{0,255}$/.test(id)) throw new Error(`invalid run id ${id}`);
  if (meta['lifecycle_stage'] !== 'active') throw new Error(`run ${id} is not active`);
  const metrics = [...filesOf(join(folder, 'metrics'))].flatMap(([key, text]) => {
    const lines = text.split('\n').filter((line) => line !== '');
    if (lines.length === 0) throw new Error(`Metric '${key}' is malformed. No data found.`);
    return lines.map((line) => {
      const parts = line.trim().split(' ');
      const [timestamp, value, step = '0'] = parts as [string, string, string?];
      if (parts.length < 2 || parts.length > 3 || !/^\d+$/.test(timestamp) || !/^\d+$/.test(step))
        throw new Error(`Metric '${key}' is malformed: ${line}`);
      if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(value)) throw new Error(`Python reads no float from ${value}`);
      return { key, value: Number(value), timestamp: Number(timestamp), step: Number(step) };
    });
  });
  const endTime = meta['end_time'];
  return {
    id,
    experimentId,
    name: String(meta['run_name']),
    status: STATUS[Number(meta['status'])]!,
    startTime: Number(meta['start_time']),
    ...(endTime === null ? {} : { endTime: Number(endTime) }),
    tags: filesOf(join(folder, 'tags')),
    params: filesOf(join(folder, 'params')),
    metrics,
  };
}

/** Relative paths are names. */
function filesOf(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (statSync(join(folder, path)).isDirectory()) continue;
    const name = relative(folder, join(folder, path)).split(sep).join('/');
    if (!/^[/\p{L}\p{N}_.\- :]*$/u.test(name) || posix.normalize(name) !== name)
      throw new Error(`invalid name ${name}`);
    files.set(name, readFileSync(join(folder, path), 'utf8'));
  }
  return files;
}

const folders = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((each) => (each.isDirectory() ? [each.name] : []));

function yamlOf(folder: string, keys: readonly string[]): Record<string, unknown> {
  // PyYAML reads YAML 1.1.
  const meta = parse(readFileSync(join(folder, 'meta.yaml'), 'utf8'), { version: '1.1' }) as Record<string, unknown>;
  if (Object.keys(meta).sort().join() !== [...keys].sort().join())
    throw new Error(`${folder}: expected ${keys.join()}, got ${Object.keys(meta).join()}`);
  return meta;
}
