/** @file The process of a step: all it says arrives; where its environment names an MLflow server, its metrics and those of a Python that it starts do too. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MlflowRun, startMlflow } from '../../test/azure/mlflow.ts';
import { initialParameters, pneumoniaNetwork } from '../engine/index.ts';
import { hospital, PARAMETERS, trainInStep, withoutTorch } from './pytorch/testing.ts';
import { stepArguments } from './step-arguments.ts';

const program = join(import.meta.dirname, '..', '..', 'bin', 'fedrad-step.js');
const network = pneumoniaNetwork({ imageSize: 16, channels: [8], hidden: 8, dropout: 0 });
const data = {
  images: new Uint8Array(10 * 256).map((_, i) => i % 251),
  labels: Uint8Array.of(0, 1, 0, 1, 0, 1, 0, 1, 0, 1),
};

async function step(context: TestContext, environment: Record<string, string>, args: readonly string[], input = '') {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-step-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const places = ['--output', `model=${join(folder, 'model')}`, '--scratch', join(folder, 'scratch')];
  const child = spawn(process.execPath, [program, ...args, ...places], {
    env: environment,
    stdio: 'pipe',
  });
  let [said, log] = ['', ''];
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said, log };
}

const points = ({ metrics }: MlflowRun) => metrics.map(({ key, value, step: at }) => `${key} ${value} ${at}`);

const INITIAL = ['initial-model', '--param', `network=${JSON.stringify(network)}`, '--param', 'seed=1'];

test('all that a step says arrives, also where nobody listens before it has ended', async (context) => {
  // More than the pipe holds: the step has to wait for its reader.
  const epochs = 4000;
  const at = await hospital(context, { network, parameters: initialParameters(network, 1) }, data);
  const inputs = new Map([
    ['data_silo0', at.data],
    ['checkpoint', at.checkpoint],
  ]);
  const args = stepArguments({
    ...{ component: 'train-in-silo', inputs, outputs: new Map([['model', join(at.folder, 'model')]]) },
    ...{ parameters: { ...PARAMETERS, epochs }, scratch: join(at.folder, 'scratch'), threads: 1, attached: false },
  });
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  // The model is written before the last words are said.
  for (const end = performance.now() + 60_000; !existsSync(join(at.folder, 'model', 'update.json')); await sleep(100))
    assert.ok(performance.now() < end);
  await sleep(1000);
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  assert.deepEqual(await closed, [0, null]);
  assert.equal(said.match(/"metric"/g)?.length, 2 * epochs);
  assert.match(said, /"usage".*\n$/);
});

test('a step tells MLflow its parameters and how it ended', async (context) => {
  const { url, runs } = await startMlflow(context);
  const { code } = await step(context, { MLFLOW_TRACKING_URI: url }, INITIAL);
  assert.equal(code, 0);
  const [run] = runs();
  assert.deepEqual([run!.name, run!.status, run!.params.get('seed')], ['initial-model', 'FINISHED', '1']);
});

test('the exit code and the last line are the step’s own, whatever becomes of MLflow', async (context) => {
  const { url, runs, faults } = await startMlflow(context);
  const train = ['train-in-silo', ...INITIAL.slice(3)];
  const refused = await step(context, { MLFLOW_TRACKING_URI: url }, train);
  // The parameters of training are missing: refused before anything is tracked.
  assert.notEqual(refused.code, 0);
  assert.deepEqual(runs(), []);
  faults.push({ match: /./, fault: 403, times: 1000 });
  const { code, log } = await step(context, { MLFLOW_TRACKING_URI: url }, INITIAL);
  assert.equal(code, 0);
  assert.match(log, /^note: tracking: MLflow at .*; the step goes on, and its log has all metrics\n$/);
});

test('where it is asked to, a step says nothing of paths: neither as a defect nor in its messages', async (context) => {
  const parameters = Object.entries(PARAMETERS).flatMap(([name, value]) => [
    '--param',
    `${name}=${JSON.stringify(value)}`,
  ]);
  const train = [
    ...['train-in-silo', ...parameters],
    ...['--input', 'data_silo0=/x rays/Doe, John', '--input', 'checkpoint=/x rays/model'],
  ];
  const plain = await step(context, {}, train);
  assert.match(plain.log, /ENOENT[\s\S]*x rays/);
  const { code, log } = await step(context, {}, [...train, '--without-paths']);
  assert.equal(code, plain.code);
  assert.match(log, /ENOENT: .*<path>/);
  assert.doesNotMatch(log, /x rays|Doe|\.ts\b/);

  const { code: good, said } = await step(context, {}, [...INITIAL, '--without-paths']);
  assert.equal(good, 0);
  assert.match(said, /^\{"type":"usage","cpuSeconds":[\d.]+,"maxRssBytes":\d+\}\n$/);
});

test('a step without paths gets its secrets, and ends when whoever holds its standard input is gone', async (context) => {
  const words = ['--attached', '--without-paths'];
  const upload = ['upload-data', ...['source={"kind":"kaggle"}', 'silo_index=0'].flatMap((each) => ['--param', each])];
  // It ends here for its parameters: what came on standard input was read first.
  const { log } = await step(context, {}, [...upload, ...words], '{"kagglekey":"a"}\n');
  assert.doesNotMatch(log, /standard input/);
  const alone = await step(context, {}, [...upload, ...words]);
  assert.equal(alone.code, 1);
  assert.match(alone.log, /standard input ended before the secrets came/);
});

test('the metrics of every process of PyTorch are there, as the step reports them', {
  skip: withoutTorch,
}, async (context) => {
  const { url, runs } = await startMlflow(context);
  const at = await hospital(context, { network, parameters: initialParameters(network, 1) }, data);
  const alone = await trainInStep(at, 'alone', {}, 2);
  const tracked = await trainInStep(at, 'tracked', {}, 2, { MLFLOW_TRACKING_URI: url });
  assert.equal(tracked.code, 0, tracked.stderr);
  assert.equal(tracked.sha256, alone.sha256);
  const metrics = tracked.messages.flatMap((message) => (message.type === 'metric' ? [message] : []));
  assert.ok(metrics.length > 3);
  assert.deepEqual(
    points(runs()[0]!),
    metrics.map(({ name, value, iteration = 0 }) => `${name} ${value} ${iteration}`),
  );
  assert.equal(runs()[0]!.status, 'FINISHED');
});

test('a step of PyTorch that fails is a run that failed', { skip: withoutTorch }, async (context) => {
  const { url, runs } = await startMlflow(context);
  const at = await hospital(context, { network, parameters: initialParameters(network, 1) }, data);
  const { code, stderr } = await trainInStep(at, 'x', { lr: 1e30 }, 1, { MLFLOW_TRACKING_URI: url });
  assert.equal(code, 3, stderr);
  assert.equal(runs()[0]!.status, 'FAILED');
});
