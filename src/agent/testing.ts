/**
 * @file What the tests of a hospital share: a federation of one hospital on a real nats-server, an agent in a process of its own, and the
 * orchestrator's side of the queue, by hand. The data are phantoms, the network is tiny.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import {
  AGENTS_BUCKET,
  type End,
  endSchema,
  endsStream,
  type Federation,
  type Heartbeat,
  heartbeatSchema,
  MODELS_BUCKET,
  openObjects,
  prepareBucket,
  RUNS_BUCKET,
  seal,
  type Talk,
  talkSchema,
  talkSubject,
  unseal,
  updatesBucket,
  WORK_STREAM,
  type Work,
  workConsumer,
  workSubject,
} from '../messaging/index.ts';
import {
  parseConfig,
  pneumoniaConfigSchema,
  pneumoniaGraph,
  type Step,
  uploadConfigSchema,
  uploadGraph,
} from '../pipelines/index.ts';
import { hashContent, type StepOutput } from '../workspace/index.ts';

/** What undoes things at the end of a test. */
interface Cleanup {
  after(undo: () => unknown): void;
}

const bin = join(import.meta.dirname, '..', '..', 'bin');
const WAIT_MS = 60_000;
const POLL_MS = 100;

export const COMPUTE = 'silo0-01';

/** Steps of the two pipelines for one hospital, by id; a training step runs for so many epochs. */
export function siloSteps(epochs: number, source = 'phantom:20'): ReadonlyMap<string, Step> {
  const upload = `
federated_learning: {silos: [{compute: ${COMPUTE}, datastore: datastore_silo0}]}
data: {source: ${JSON.stringify(source)}, phantom_size: 48}
`;
  const training = `
federated_learning:
  orchestrator: {compute: orchestrator-01, datastore: datastore_orchestrator}
  silos:
    - name: silo0
      computes: [${COMPUTE}]
      datastore: datastore_silo0
      silo_data:
        type: uri_folder
        mode: download
        path: azureml://datastores/datastore_silo0/paths/federated_learning/pneumonia
training_parameters: {num_of_iterations: 1, epochs: ${epochs}, batch_size: 8, image_size: 16, channels: [8], hidden: 32}
`;
  const graphs = [
    uploadGraph(parseConfig(upload, uploadConfigSchema, 'upload.yaml'), 'PNEUMONIA', '/'),
    pneumoniaGraph(parseConfig(training, pneumoniaConfigSchema, 'config.yaml')),
  ];
  return new Map(graphs.flatMap(({ steps }) => steps.map((step) => [step.id, step])));
}

export interface AgentProcess {
  readonly child: ChildProcess;
  log(): string;
  /** Waits until the log has this. */
  says(pattern: RegExp): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<number | null>;
  /** Waits for its end; gives the exit code. */
  exit(): Promise<number | null>;
}

/** Runs a command of fedrad with this home to its end. */
export async function runFedrad(home: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, [join(bin, 'fedrad.js'), '--home', home, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = [listen(child.stdout), listen(child.stderr)];
  const [code] = await once(child, 'close');
  return { code: code as number | null, stdout: stdout.log(), stderr: stderr.log() };
}

/** Starts `fedrad agent` with this home. */
export function startAgentProcess(t: Cleanup, home: string, ...args: readonly string[]): AgentProcess {
  const child = spawn(process.execPath, [join(bin, 'fedrad.js'), '--home', home, 'agent', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const heard = listen(child.stderr!);
  const exited = once(child, 'exit');
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await exited;
    }
    return child.exitCode;
  };
  const exit = async (): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) await exited;
    return child.exitCode;
  };
  t.after(() => kill());
  return { child, kill, exit, ...heard };
}

function listen(stream: NodeJS.ReadableStream) {
  let text = '';
  const listeners = new Set<() => void>();
  stream.on('data', (chunk) => {
    text += chunk;
    for (const listener of listeners) listener();
  });
  return {
    log: () => text,
    says: (pattern: RegExp): Promise<void> =>
      within(
        `the log to say ${pattern}`,
        () => text,
        (done) => {
          const look = (): void => void (pattern.test(text) && done());
          listeners.add(look);
          look();
        },
      ),
  };
}

/** Waits for `start` to call back, at most {@link WAIT_MS}. */
function within<T>(what: string, detail: () => string, start: (done: (value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${WAIT_MS} ms for ${what}: ${detail()}`)), WAIT_MS);
    start((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

/** The orchestrator's side of the queue of {@link COMPUTE}. `hospitalKey` is that of the ends. */
export async function openOrchestrator(
  t: Cleanup,
  federation: Pick<Federation, 'connect' | 'signingKey'>,
  hospitalKey: KeyObject,
) {
  const connection = await federation.connect('tests');
  t.after(() => connection.close());
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: WORK_STREAM, subjects: ['fedrad.work.>'], retention: RetentionPolicy.Workqueue });
  await manager.streams.add({ name: endsStream(COMPUTE), subjects: ['fedrad.ends.>'] });
  await manager.consumers.add(WORK_STREAM, {
    durable_name: workConsumer(COMPUTE),
    filter_subject: workSubject(COMPUTE, '>'),
    ack_policy: AckPolicy.Explicit,
    ack_wait: 30e9,
  });
  const kvm = new Kvm(connection);
  const agents = await kvm.create(AGENTS_BUCKET);
  const runs = await kvm.create(RUNS_BUCKET, { allow_direct: true });
  for (const bucket of [MODELS_BUCKET, updatesBucket(COMPUTE)]) await prepareBucket(connection, bucket);
  const objects = openObjects(connection);

  const ends: End[] = [];
  const talks: Talk[] = [];
  const listeners = new Set<() => void>();
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const consumer = await jetstream(connection).consumers.get(endsStream(COMPUTE));
  const messages = await consumer.consume({
    callback: ({ data }) => {
      ends.push(unseal(data, endSchema, hospitalKey, COMPUTE));
      tell();
    },
  });
  t.after(() => messages.close());
  connection.subscribe(talkSubject(COMPUTE, '*'), {
    callback: (error, { data }) => {
      if (error) throw error;
      talks.push(unseal(data, talkSchema, hospitalKey, COMPUTE));
      tell();
    },
  });
  const eventually = <T>(what: string, find: () => T | undefined): Promise<T> =>
    within(
      what,
      () => JSON.stringify(ends.map(({ step, end }) => [step, end])),
      (done) => {
        const look = (): void => {
          const found = find();
          if (found !== undefined) done(found);
        };
        listeners.add(look);
        look();
      },
    );

  /** Messages of the work queue that are not done. */
  const waiting = async (): Promise<number> => (await manager.streams.info(WORK_STREAM)).state.messages;

  return {
    ...{ connection, objects, ends, talks },
    /** Sends work; `change` alters what is sealed, `key` seals it. */
    send: async (work: Work, key = federation.signingKey, subject = workSubject(COMPUTE, work.run)): Promise<void> => {
      await jetstream(connection).publish(subject, seal(work, key));
    },
    /** The end of a step of a run, the `count`th of them. */
    end: (run: string, step: string, count = 1): Promise<End> =>
      eventually(
        `the end of ${step} of ${run}`,
        () => ends.filter((end) => end.run === run && end.step === step)[count - 1],
      ),
    /** A talk of the run. */
    talk: (run: string, type: Talk['message']['type']): Promise<Talk> =>
      eventually(`${type} of ${run}`, () => talks.find((talk) => talk.run === run && talk.message.type === type)),
    /** Puts a model where the hospital finds it, and names it by a path of the orchestrator's datastore. */
    putModel: async (run: string, folder: string): Promise<StepOutput> => {
      const hash = await hashContent(folder);
      await objects.put(MODELS_BUCKET, run, folder, hash);
      return { path: 'azureml://datastores/datastore_orchestrator/paths/initial_model', ...hash };
    },
    closeRun: async (run: string, status = 'CANCELED'): Promise<void> => {
      await runs.put(run, seal({ kind: 'run-closed', run, status }, federation.signingKey));
    },
    withdraw: async (run: string, work: { compute: string; step: string; attempt: number }[]): Promise<void> => {
      await runs.put(run, seal({ kind: 'work-withdrawn', run, work }, federation.signingKey));
    },
    waiting,
    /** Waits until no work waits. */
    done: () => poll('the queue to be empty', async () => ((await waiting()) === 0 ? true : undefined)),
    /** The hospital's heartbeat, once it is as `wanted`. */
    heartbeat: (wanted: (heartbeat: Heartbeat) => boolean): Promise<Heartbeat> =>
      poll('a heartbeat', async () => {
        const entry = await agents.get(COMPUTE);
        const heartbeat = entry && unseal(entry.value, heartbeatSchema, hospitalKey, COMPUTE);
        return heartbeat && wanted(heartbeat) ? heartbeat : undefined;
      }),
  };
}

/** Asks until there is an answer, at most for {@link WAIT_MS}. */
async function poll<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  for (const deadline = performance.now() + WAIT_MS; performance.now() < deadline; await sleep(POLL_MS)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
  }
  throw new Error(`waited ${WAIT_MS} ms for ${what}`);
}

/** Work of this step; inputs are what earlier steps left. */
export const workOf = (run: string, step: Step, inputs: Work['inputs'] = {}, attempt = 1): Work => ({
  ...{ kind: 'work', run, attempt, step, inputs, redone: false },
});

/** Runs the step that makes the initial model, and gives its folder. */
export async function makeInitialModel(steps: ReadonlyMap<string, Step>, folder: string): Promise<string> {
  const model = join(folder, 'initial-model');
  await mkdir(model, { recursive: true });
  const parameters = Object.entries(steps.get('initial_model')!.parameters);
  const child = spawn(
    process.execPath,
    [
      join(bin, 'fedrad-step.js'),
      ...['initial-model', '--output', `model=${model}`, '--scratch', join(folder, 'scratch')],
      ...parameters.flatMap(([name, value]) => ['--param', `${name}=${JSON.stringify(value)}`]),
    ],
    { stdio: 'ignore' },
  );
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`initial-model ended with ${code}`);
  return model;
}
