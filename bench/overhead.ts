/**
 * @file What federating costs a hospital in time: the rounds of one hospital over nats-server (TLS, signed work, sandboxed steps, the model
 * there and the update back, aggregation) against its own steps alone, training and evaluation, on the same cores. Phantoms, as
 * many as a third of the Kaggle set's training images, so that it runs everywhere; the network and the epochs of the Azure ML example.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MODELS_BUCKET, openObjects, updatesBucket } from '../src/messaging/index.ts';
import { skipWithoutNats, startFederation, type TestFederation, type TestHospital } from '../src/messaging/testing.ts';
import { hashContent, openRunHistory, type RunEvent } from '../src/workspace/index.ts';
import { openCleanup } from '../test/hospitals/tool.ts';
import { keepRunning } from '../test/parity/parity.ts';
import { fedradAt } from '../test/parity/small-run.ts';
import type { Bench } from './result.ts';

const UPLOAD = (images: number, size: number): string => `
federated_learning:
  silos: [{compute: silo0-01, datastore: datastore_silo0}]
data: {source: "phantom:${images}", phantom_size: ${size}}
`;

const TRAINING = (iterations: number, more: string): string => `
federated_learning:
  orchestrator: {compute: orchestrator-01, datastore: datastore_orchestrator}
  silos:
    - name: silo0
      computes: [silo0-01]
      datastore: datastore_silo0
      silo_data: {type: uri_folder, mode: download, path: azureml://datastores/datastore_silo0/paths/federated_learning/pneumonia}
training_parameters:
  num_of_iterations: ${iterations}
  epochs: 5
  lr: 0.01
  batch_size: 32
${more}`;

/** Of the example's network. */
const MODEL_BYTES = 103e6;

/**
 * Seconds of a run from the start of its first training step to the end of its last aggregation, and of the steps in between that a hospital
 * would have without the others: training, and the evaluation of all models but the last.
 */
function timesOf(events: readonly RunEvent[]): {
  readonly alone: number;
  readonly rounds: number;
  readonly cpu: number;
} {
  const steps = events.filter((event) => event.type === 'step-finished');
  const end = Math.max(...steps.filter(({ step }) => step.endsWith('_aggregation')).map(({ at }) => Date.parse(at)));
  const started = events.filter((event) => event.type === 'step-started');
  const first = started.find(({ step }) => step.endsWith('_training'))!;
  const own = steps.filter(({ step, at }) => /_(training|evaluation)$/.test(step) && Date.parse(at) <= end);
  return {
    alone: own.reduce((sum, { seconds }) => sum + seconds, 0),
    cpu: own.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    rounds: (end - Date.parse(first.at)) / 1000,
  };
}

const ROUNDS = 2;

/** Seconds that the rounds' models take there and back over the same nats-server, when nothing else happens. */
async function transferSeconds({ federation, hospitals }: TestFederation, folder: string, bytes: number) {
  const [hospital] = hospitals as [TestHospital];
  const [model, arrived] = [join(folder, 'model'), join(folder, 'arrived')];
  await writeFile(model, randomBytes(bytes));
  const hash = await hashContent(model);
  const own = await federation.connect('bench');
  const theirs = await hospital.membership.connect('bench');
  try {
    let seconds = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const run = `bench-${round}`;
      const start = performance.now();
      await openObjects(own).put(MODELS_BUCKET, run, model, hash);
      await openObjects(theirs).get(MODELS_BUCKET, run, hash, arrived);
      await openObjects(theirs).put(updatesBucket(hospital.compute), run, arrived, hash);
      await rm(arrived);
      await openObjects(own).get(updatesBucket(hospital.compute), run, hash, arrived);
      seconds += (performance.now() - start) / 1000;
      await rm(arrived);
    }
    return seconds;
  } finally {
    await theirs.close();
    await own.close();
  }
}

export const benchOverhead: Bench = async function* ({ tiny, note }) {
  if (skipWithoutNats) return note(`bench overhead: ${skipWithoutNats}`);
  const [images, size, more] = tiny ? [24, 32, '  image_size: 16\n  channels: [8]\n  hidden: 32\n'] : [1739, 224, ''];
  const cleanup = openCleanup();
  try {
    const folder = await mkdtemp(join(tmpdir(), 'fedrad-bench-'));
    cleanup.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
    const [upload, training] = [join(folder, 'upload.yaml'), join(folder, 'training.yaml')];
    await writeFile(upload, UPLOAD(images, size));
    await writeFile(training, TRAINING(ROUNDS, more));
    const runBoth = async (home: string) => {
      await fedradAt(home)('submit', 'upload-data', '--example', 'PNEUMONIA', '--config', upload, '--wait');
      const { id } = JSON.parse(await fedradAt(home)('submit', 'pneumonia', '--config', training, '--wait', '--json'));
      using history = await openRunHistory(home);
      return timesOf(history.events(id));
    };
    const alone = join(folder, 'alone');
    await fedradAt(alone)('provision', '--silos', '1');
    const here = await runBoth(alone);
    note(
      `bench overhead: on one machine: own steps ${here.alone.toFixed(1)} s (${here.cpu.toFixed(1)} s of CPU), rounds ${here.rounds.toFixed(1)} s`,
    );
    const federation = await startFederation(cleanup, { silos: 1, folder: join(folder, 'across') });
    const { home, hospitals } = federation;
    keepRunning(cleanup, '--home', home, 'orchestrator', 'start', '--http', '127.0.0.1:0');
    keepRunning(cleanup, '--home', hospitals[0]!.home, 'agent');
    const across = await runBoth(home);
    note(
      `bench overhead: over nats-server: own steps ${across.alone.toFixed(1)} s (${across.cpu.toFixed(1)} s of CPU), rounds ${across.rounds.toFixed(1)} s`,
    );
    const transfer = await transferSeconds(federation, folder, tiny ? 1e6 : MODEL_BYTES);
    note(`bench overhead: of that, models there and back take ${transfer.toFixed(1)} s when nothing else happens`);
    const peer = { peer: Number(here.alone.toPrecision(4)), peerName: 'its own steps alone' };
    const condition = `${ROUNDS} rounds of 5 epochs over ${images} images of ${size}x${size} (of which 80 % train)`;
    yield {
      ...{ case: `one hospital over nats-server, ${condition}`, ours: Number(across.rounds.toPrecision(4)), unit: 's' },
      ...peer,
    };
    yield {
      ...{ case: `models there and back, ${condition}`, ours: Number(transfer.toPrecision(3)), unit: 's' },
      ...peer,
    };
    yield {
      ...{ case: `one hospital on one machine, ${condition}`, ours: Number(here.rounds.toPrecision(4)), unit: 's' },
      ...peer,
    };
  } finally {
    await cleanup.undo();
  }
};
