/**
 * @file What the tests of the PyTorch trainer share: a hospital's prepared images and a model, and the trainer run over them.
 *
 * Loading PyTorch takes seconds. One Python of each test file loads it once and forks whatever the tests ask for, so that the
 * trainer still starts with a state of its own and ends with its exit code.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, type TestContext } from 'node:test';
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

/** What the trainer gets; it writes its model to a folder of this name. */
function trainerStep({ data, checkpoint, folder }: Hospital, name: string, parameters: object, processes: number) {
  return {
    inputs: new Map([
      ['data_silo0', data],
      ['checkpoint', checkpoint],
    ]),
    outputs: new Map([['model', join(folder, name)]]),
    parameters: { ...PARAMETERS, ...parameters },
    scratch: join(folder, `${name}-scratch`),
    // One each: where a core is taken, threads that wait for each other take far longer than one.
    threads: processes,
    attached: false,
  };
}

/** Starts the step of the graph with this many processes of Python. */
export async function startStep(
  at: Hospital,
  name: string,
  parameters: object,
  processes: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<ChildProcess> {
  await makeFolders(at, name);
  const step = trainerStep(at, name, { ...parameters, process_count_per_instance: processes }, processes);
  const program = join(import.meta.dirname, '..', '..', '..', 'bin', 'fedrad-step.js');
  const args = [program, ...stepArguments({ ...step, component: 'train-in-silo-pytorch' })];
  const env = { [PYTHON_VARIABLE]: torchHere!.python, ...environment };
  return spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Trains as the step of the graph does, with its launcher of several processes. */
export async function trainInStep(
  at: Hospital,
  name: string,
  parameters: object,
  processes: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<Trained> {
  const child = await startStep(at, name, parameters, processes, environment);
  let [stdout, stderr] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return trained(at, name, { code, stdout, stderr });
}

/** Trains in this many processes of Python, without launcher. */
export async function trainInTorch(at: Hospital, name: string, parameters: object, processes = 1): Promise<Trained> {
  await makeFolders(at, name);
  const args = stepArguments({ ...trainerStep(at, name, parameters, processes), component: 'train-in-silo' });
  const code = 'sys.argv = given\nrunpy.run_path(given[0], run_name="__main__")';
  const environments = Array.from({ length: processes }, (_, rank) => ({
    RANK: String(rank),
    LOCAL_RANK: String(rank),
    WORLD_SIZE: String(processes),
    LOCAL_WORLD_SIZE: String(processes),
  }));
  return trained(at, name, await fork(code, [TRAINER, ...args], environments));
}

const makeFolders = async ({ folder }: Hospital, name: string): Promise<void> => {
  for (const path of [name, `${name}-scratch`]) await mkdir(join(folder, path));
};

async function trained({ folder }: Hospital, name: string, { code, stdout, stderr }: Ended): Promise<Trained> {
  const messages = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => stepMessageSchema.parse(JSON.parse(line)));
  const output = join(folder, name);
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

/** A line of Python's value, as JSON; `t` is the trainer's module, `given` the value. */
export async function inPython(line: string, given: unknown): Promise<unknown> {
  const { code, stdout, stderr } = await fork(`print(json.dumps(${line}))`, given, [{}]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
}

interface Ended {
  /** 0, or the first other exit code. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Never computes itself: a thread pool does not survive a fork. */
const FORKING = `import json, os, runpy, sys, traceback
sys.path.insert(0, sys.argv[1])
import train_in_silo as t

def refusal_of(action, *args):
    try:
        action(*args)
    except t.Refused as refused:
        return str(refused)

for line in sys.stdin:
    code, given, environments, *files = json.loads(line)
    children = []
    for environment in environments:
        child = os.fork()
        if child == 0:
            try:
                os.environ.update(environment)
                for stream, file in enumerate([os.devnull, *files]):
                    os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)
                exec(code, {**globals(), "given": given})
                sys.stdout.flush()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(next((code for code in codes if code), 0), flush=True)
`;

type Fork = (code: string, given: unknown, environments: readonly object[]) => Promise<Ended>;
let opened: Promise<Fork> | undefined;
const closing: (() => Promise<void>)[] = [];
// Of the whole file: inside of a test it would be of that test.
after(async () => {
  for (const close of closing) await close();
});

/** Runs a program once in each of these environments, at the same time. */
async function fork(...program: Parameters<Fork>): Promise<Ended> {
  opened ??= openFork();
  return (await opened)(...program);
}

async function openFork(): Promise<Fork> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad python '));
  const child = spawn(torchHere!.python, ['-B', '-c', FORKING, join(TRAINER, '..')], {
    env: { OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  closing.push(async () => {
    child.stdin.end();
    await rm(folder, { recursive: true, force: true });
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let asked = 0;
  return async (code, given, environments) => {
    const name = join(folder, String(asked++));
    const files = [`${name}-stdout`, `${name}-stderr`];
    child.stdin.write(`${JSON.stringify([code, given, environments, ...files])}\n`);
    const answer = await answers.next();
    if (answer.done) throw new Error('Python ended');
    const [stdout, stderr] = await Promise.all(files.map((file) => readFile(file, 'utf8')));
    return { code: Number(answer.value), stdout: stdout!, stderr: stderr! };
  };
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
