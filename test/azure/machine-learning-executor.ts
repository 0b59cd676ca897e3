/**
 * @file Runs a job of the stand-in: each step as the process that its command names, with the inputs downloaded from Azurite and the
 * outputs uploaded to it, one after another. A compute reaches only the datastores that its identity may use. No shell: the command line
 * is taken apart here, and anything but words and single quotes is refused.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import {
  BlobSASPermissions,
  BlobServiceClient,
  type ContainerClient,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { orAborted } from '../../src/base/index.ts';
import { program } from '../cli.ts';
import {
  bindingOf,
  type ChildState,
  datastoreOf,
  type JobState,
  type MachineLearning,
  type WorkspaceState,
} from './machine-learning.ts';
import type { ComponentSpec, JobNode } from './machine-learning-bodies.ts';
import { jobRun } from './mlflow.ts';

const STEP_TIMEOUT_MS = 120_000;
/** Of the environment's image. */
const PROGRAMS: ReadonlyMap<string | undefined, string> = new Map([
  ['fedrad', program],
  ['fedrad-step', join(dirname(program), 'fedrad-step.js')],
]);

/** A container of Azurite, by its account's key. */
export function containerOf(
  { azurite }: MachineLearning,
  { account, container }: { account: string; container: string },
): ContainerClient {
  const credential = new StorageSharedKeyCredential(account, azurite.keys.get(account)!);
  return new BlobServiceClient(azurite.blobUrl(account), credential).getContainerClient(container);
}

/** Never throws: what goes wrong is the job's failure. */
export async function executeJob(state: MachineLearning, workspace: WorkspaceState, job: JobState): Promise<void> {
  const nodes = Object.values(job.body.properties.jobs);
  for (const { name: node } of nodes) job.children.push({ runId: randomUUID(), node, status: 'NotStarted' });
  job.status = 'Running';
  const child = (node: string): ChildState => job.children.find((each) => each.node === node)!;
  let failed = false;
  for (const node of nodes) {
    const own = child(node.name);
    if (failed || job.cancel.signal.aborted) {
      own.status = 'Canceled';
      continue;
    }
    own.status = 'Queued';
    if (state.nodes) await orAborted(state.nodes, job.cancel.signal).catch(() => {});
    if (job.cancel.signal.aborted) {
      own.status = 'Canceled';
      continue;
    }
    own.status = 'Running';
    own.startedAt = new Date().toISOString();
    try {
      await executeStep(state, workspace, job, node, own, child);
      own.status = 'Completed';
    } catch (error) {
      failed = !job.cancel.signal.aborted;
      own.status = failed ? 'Failed' : 'Canceled';
      own.error = error instanceof Error ? error.message : String(error);
    }
    own.endedAt = new Date().toISOString();
  }
  job.status = failed ? 'Failed' : job.cancel.signal.aborted ? 'Canceled' : 'Completed';
}

async function executeStep(
  state: MachineLearning,
  workspace: WorkspaceState,
  job: JobState,
  node: JobNode,
  own: ChildState,
  child: (node: string) => ChildState,
): Promise<void> {
  const spec = workspace.components.get(node.componentId.split('/components/')[1]!)!;
  const compute = workspace.computes.get(node.computeId.split('/').at(-1)!)!;
  const folder = join(state.folder, own.runId);
  const place = (uri: string) => {
    const datastore = datastoreOf(uri);
    if (!compute.datastores.includes(datastore)) throw new Error(`the compute may not use ${datastore}`);
    return {
      container: containerOf(state, workspace.datastores.get(datastore)!),
      prefix: `${uri.split('/paths/')[1]!.replace(/\/$/, '')}/`,
    };
  };
  const values = new Map<string, string>();
  for (const [port, input] of Object.entries(node.inputs)) {
    const binding = bindingOf(input);
    if (!binding && 'value' in input) {
      values.set(`inputs.${port}`, input.value);
      continue;
    }
    const uri = binding
      ? job.body.properties.jobs[binding[0]]!.outputs[binding[1]]!.uri.replace('${{name}}', child(binding[0]).runId)
      : (input as { uri: string }).uri;
    const { container, prefix } = place(uri);
    const target = join(folder, 'inputs', port);
    if ('uri' in input && input.job_input_type === 'uri_file') {
      // A file keeps its name.
      const blob = prefix.slice(0, -1);
      const file = join(target, blob.split('/').at(-1)!);
      await mkdir(target, { recursive: true });
      if (!(await container.getBlobClient(blob).exists())) throw new Error(`nothing lies at ${blob}`);
      await container.getBlobClient(blob).downloadToFile(file);
      values.set(`inputs.${port}`, file);
      continue;
    }
    await download(container, prefix, target);
    values.set(`inputs.${port}`, target);
  }
  for (const port of Object.keys(node.outputs)) {
    await mkdir(join(folder, 'outputs', port), { recursive: true });
    values.set(`outputs.${port}`, join(folder, 'outputs', port));
  }
  // The container's own /tmp.
  const words = commandWords(spec, values).map((word) => (word === '/tmp/fedrad' ? join(folder, 'tmp') : word));
  const file = PROGRAMS.get(words[0]);
  if (file === undefined) throw new Error(`the environment has no program ${words[0]}`);
  const run = state.tracking && jobRun(state.tracking.mlflow, own.runId, job.body.properties.experimentName);
  const signIn = state.signIn?.(node.computeId.split('/').at(-1)!);
  const environment = run && {
    ...signIn,
    ...state.tracking?.environment,
    MLFLOW_RUN_ID: run.id,
    MLFLOW_EXPERIMENT_ID: run.experimentId,
    MLFLOW_EXPERIMENT_NAME: job.body.properties.experimentName,
  };
  const { code, output } = await runProcess([file, ...words.slice(1)], environment ?? signIn, job.cancel.signal);
  if (run) run.status = code === 0 ? 'FINISHED' : 'FAILED';
  const logs = containerOf(state, workspace.logs);
  const path = `user_logs/${node.distribution ? 'std_log_process_00' : 'std_log'}.txt`;
  const log = logs.getBlockBlobClient(`ExperimentRun/dcid.${own.runId}/${path}`);
  await log.upload(output, Buffer.byteLength(output));
  const permissions = BlobSASPermissions.parse('r');
  own.logFiles = { [path]: await log.generateSasUrl({ permissions, expiresOn: new Date(Date.now() + 3_600_000) }) };
  if (code !== 0) throw new Error(`Execution failed. User process exited with status code ${code}.`);
  for (const [port, { uri }] of Object.entries(node.outputs)) {
    const { container, prefix } = place(uri.replace('${{name}}', own.runId));
    await upload(join(folder, 'outputs', port), container, prefix);
  }
  await rm(folder, { recursive: true, force: true });
}

/** The command with its values, as the words that a shell would make of it. */
export function commandWords(spec: Pick<ComponentSpec, 'command'>, values: ReadonlyMap<string, string>): string[] {
  const filled = spec.command
    .replaceAll(/\$\[\[(.*?)\]\]/g, (_, part: string) =>
      values.has(/\$\{\{([^}]+)\}\}/.exec(part)?.[1] ?? '') ? part : '',
    )
    .replaceAll(/\$\{\{([^}]+)\}\}/g, (_, key: string) => {
      const value = values.get(key);
      if (value === undefined) throw new Error(`the command needs ${key}`);
      if (value.includes("'")) throw new Error(`${key} holds a quote`);
      return value;
    });
  const words = filled.match(/'[^']*'|[^\s']+/g) ?? [];
  return words.map((word) => {
    if (word.startsWith("'")) return word.slice(1, -1);
    if (!/^[A-Za-z0-9_./=-]+$/.test(word)) throw new Error(`a shell would do something with ${word}`);
    return word;
  });
}

function runProcess(
  args: readonly string[],
  environment: Readonly<Record<string, string>> | undefined,
  signal: AbortSignal,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      // A step on Azure has no user's sign-in.
      env: { PATH: process.env['PATH'] ?? '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: AbortSignal.any([signal, AbortSignal.timeout(STEP_TIMEOUT_MS)]),
      killSignal: 'SIGKILL',
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

async function download(container: ContainerClient, prefix: string, folder: string): Promise<void> {
  let files = 0;
  for await (const { name } of container.listBlobsFlat({ prefix })) {
    const file = join(folder, name.slice(prefix.length));
    await mkdir(dirname(file), { recursive: true });
    await container.getBlobClient(name).downloadToFile(file);
    files += 1;
  }
  if (files === 0) throw new Error(`nothing lies at ${prefix}`);
}

async function upload(folder: string, container: ContainerClient, prefix: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const content = await readFile(file);
    const name = prefix + relative(folder, file).split(sep).join('/');
    await container.getBlockBlobClient(name).upload(content, content.length);
  }
}
