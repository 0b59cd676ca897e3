/** @file What the tests of the PyTorch trainer share: a hospital's prepared images and a model, and the trainer run over them. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FedradError } from '../../base/index.ts';
import type { LabelledImages, Network } from '../../engine/index.ts';
import { type StepMessage, stepMessageSchema } from '../messages.ts';
import { MODEL_FILE, type ModelFile, readModel, writeModel } from '../model-file.ts';
import { stepArguments } from '../step-arguments.ts';
import { findTorch, PYTHON_VARIABLE, TRAINER } from './find-torch.ts';

/** A Python with PyTorch, or undefined. */
export const torchHere = await findTorch('test').catch((error: unknown) => {
  if (error instanceof FedradError) return undefined;
  throw error;
});

/** For node:test's `skip`. */
export const withoutTorch = torchHere ? false : 'no PyTorch on this machine';

export interface Hospital {
  readonly folder: string;
  readonly data: string;
  readonly checkpoint: string;
}

/** A folder with prepared images and a model to start from. */
export async function hospital(
  context: TestContext,
  model: ModelFile,
  { images, labels }: LabelledImages,
): Promise<Hospital> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad pytorch '));
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const [data, checkpoint] = [join(folder, 'data'), join(folder, 'checkpoint')];
  for (const path of [data, checkpoint]) await mkdir(path);
  await writeModel(checkpoint, model);
  await writeFile(join(data, 'train.u8'), images);
  const header = {
    version: 1,
    synthetic: true,
    imageSize: model.network.imageSize,
    labels: [...labels],
    patients: [...labels.keys()],
    sha256: createHash('sha256').update(images).digest('hex'),
  };
  await writeFile(join(data, 'train.json'), JSON.stringify(header));
  return { folder, data, checkpoint };
}

export interface Trained {
  readonly code: number | null;
  readonly messages: readonly StepMessage[];
  readonly stderr: string;
  /** Train loss of each epoch. */
  readonly losses: readonly number[];
  /** Of the file it wrote. */
  readonly sha256: string | undefined;
  readonly model: ModelFile | undefined;
}

export const PARAMETERS = {
  metrics_prefix: 'silo0',
  iteration_num: 1,
  epochs: 3,
  lr: 0.05,
  batch_size: 5,
  num_of_iterations: 1,
  lr_schedule: { kind: 'constant', warmup_epochs: 0 },
  optimizer: { kind: 'sgd', momentum: 0.9, nesterov: false, weight_decay: 0 },
  class_weights: 'none',
  proximal_mu: 0,
  seed: 7,
};

/** Command and environment of the trainer: one process of Python, or the step with this many processes. */
export function trainerCommand(
  { data, checkpoint, folder }: Hospital,
  name: string,
  parameters: object,
  processes?: number,
) {
  const common = {
    inputs: new Map([
      ['data_silo0', data],
      ['checkpoint', checkpoint],
    ]),
    outputs: new Map([['model', join(folder, name)]]),
    scratch: join(folder, `${name}-scratch`),
    threads: 2,
    attached: false,
  };
  const python = torchHere!.python;
  const all = { ...PARAMETERS, ...parameters };
  if (processes === undefined)
    return {
      file: python,
      args: ['-B', TRAINER, ...stepArguments({ ...common, component: 'train-in-silo', parameters: all })],
      env: { OMP_NUM_THREADS: '2' },
    };
  const step = { ...common, component: 'train-in-silo-pytorch' as const };
  const program = join(import.meta.dirname, '..', '..', '..', 'bin', 'fedrad-step.js');
  return {
    file: process.execPath,
    args: [program, ...stepArguments({ ...step, parameters: { ...all, process_count_per_instance: processes } })],
    env: { [PYTHON_VARIABLE]: python },
  };
}

/** Trains; with `processes` as the step of the graph, else in one process of Python. */
export async function trainInTorch(
  at: Hospital,
  name: string,
  parameters: object,
  processes?: number,
): Promise<Trained> {
  const { file, args, env } = trainerCommand(at, name, parameters, processes);
  for (const folder of [name, `${name}-scratch`]) await mkdir(join(at.folder, folder));
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const messages = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => stepMessageSchema.parse(JSON.parse(line)));
  const output = join(at.folder, name);
  const bytes = await readFile(join(output, MODEL_FILE)).catch(() => undefined);
  return {
    code,
    messages,
    stderr,
    losses: messages.flatMap((message) =>
      message.type === 'metric' && /^iteration_\d\/silo0\/Train Loss$/.test(message.name) ? [message.value] : [],
    ),
    sha256: bytes && createHash('sha256').update(bytes).digest('hex'),
    model: bytes && (await readModel(output)),
  };
}

/** What a line of Python prints, as JSON; `t` is the trainer's module, `given` the value. */
export function inPython(line: string, given: unknown): unknown {
  const code = `import json, sys; sys.path.insert(0, sys.argv[1]); import train_in_silo as t
given = json.load(sys.stdin)
def refusal_of(action, *args):
    try:
        action(*args)
    except t.Refused as refused:
        return str(refused)
print(json.dumps(${line}))`;
  const { stdout, stderr, status } = spawnSync(torchHere!.python, ['-B', '-c', code, join(TRAINER, '..')], {
    input: JSON.stringify(given),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
}

/** A network of all operations on 16x16 pixels. */
export const everyOperation = (dropout: number): Pick<Network, 'layers'>['layers'] => [
  {
    op: 'conv2d',
    name: 'stem.conv',
    out_channels: 8,
    kernel_size: [5, 3],
    stride: [2, 1],
    padding: [2, 1],
    groups: 1,
    bias: false,
  },
  { op: 'batch_norm2d', name: 'stem.bn', eps: 1e-5, momentum: 0.2 },
  { op: 'relu' },
  { op: 'max_pool2d', kernel_size: [3, 3], stride: [1, 2], padding: [1, 1] },
  {
    op: 'residual',
    body: [
      {
        op: 'conv2d',
        name: 'block.0.conv',
        out_channels: 12,
        kernel_size: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        groups: 4,
        bias: true,
      },
      { op: 'group_norm', name: 'block.0.gn', num_groups: 3, eps: 1e-5 },
      { op: 'gelu' },
    ],
    shortcut: [
      {
        op: 'conv2d',
        name: 'block.0.downsample',
        out_channels: 12,
        kernel_size: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        groups: 1,
        bias: false,
      },
    ],
  },
  { op: 'residual', body: [{ op: 'gelu' }], shortcut: [] },
  { op: 'avg_pool2d', kernel_size: [2, 2], padding: [1, 0] },
  ...(dropout > 0 ? [{ op: 'dropout' as const, p: dropout }] : []),
  { op: 'linear', name: 'hidden', out_features: 10, bias: false },
  { op: 'relu' },
  { op: 'global_avg_pool' },
  { op: 'linear', name: 'head', out_features: 2, bias: true },
];
