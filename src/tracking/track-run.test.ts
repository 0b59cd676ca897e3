/** @file A run's event log, from a real history, in the stand-in for MLflow and in a folder: as `fedrad run show` has it. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type MlflowRun, startMlflow } from '../../test/azure/mlflow.ts';
import { readMlruns } from '../../test/azure/mlruns.ts';
import { foldRun, openRunHistory, type RunEvent, type RunHistory } from '../workspace/index.ts';
import { logRun, type RunToTrack, trackedPlace, trackRun } from './track-run.ts';
import { parseTrackingUri } from './tracking-uri.ts';

type Event =
  Exclude<RunEvent, { type: 'submitted' }> extends infer E ? (E extends unknown ? Omit<E, 'at'> : never) : never;

interface Scene {
  readonly history: RunHistory;
  readonly stateFile: string;
  append(...events: Event[]): void;
  /** The run with this tracking URI. */
  to(uri: string, environment?: Record<string, string>): RunToTrack;
}

const RUN = 'calm_lung_7f3k2q';
const steps = new Map([
  ['prepare', { component: 'prepare-data', compute: 'silo0-01', parameters: { image_size: 64, seed: 1 } }],
  ['train', { component: 'train-in-silo', compute: 'silo0-01', parameters: { lr: 0.01, seed: 1, epochs: 2 } }],
  ['alone', { component: 'train-in-silo', compute: 'silo1-01', parameters: { lr: 0.01, seed: 1, epochs: 4 } }],
]);

async function scene(context: TestContext): Promise<Scene> {
  const home = await mkdtemp(join(tmpdir(), 'fedrad-mirror-'));
  context.after(() => rm(home, { recursive: true, force: true }));
  const history = await openRunHistory(home);
  context.after(() => history.close());
  let seconds = 0;
  const at = (): string => new Date(1_700_000_000_000 + 1000 * seconds++).toISOString();
  const facts = { experiment: 'fl_demo_pneumonia', pipeline: 'pneumonia', workspace: 'aml-fldemo', graphHash: 'abc' };
  history.create({ id: RUN, at: at(), ...facts });
  const stateFile = join(home, 'tracking.json');
  return {
    history,
    stateFile,
    append: (...events) => {
      for (const event of events)
        history.append(RUN, { ...event, at: at() } as Exclude<RunEvent, { type: 'submitted' }>);
    },
    to: (uri, environment = {}) => ({
      ...{ place: parseTrackingUri(uri), history, runId: RUN, steps, stateFile, environment },
      now: () => new Date(1_800_000_000_000),
    }),
  };
}

const started: Event = { type: 'started', pid: 1, sandbox: 'bubblewrap', cores: 2 };
const begin = (step: string, attempt = 1): Event => ({ type: 'step-started', step, attempt, threads: 1 });
const metric = (step: string, name: string, value: number, iteration?: number): Event => ({
  ...{ type: 'metric', step, name, value },
  ...(iteration === undefined ? {} : { iteration }),
});
const end = (step: string, attempt = 1): Event => ({
  ...{ type: 'step-finished', step, attempt, outputs: {}, seconds: 1, cpuSeconds: 1 },
});
const failed = (step: string, attempt = 1): Event => ({
  type: 'step-failed',
  step,
  attempt,
  error: 'crashed',
  logTail: [],
});
const completed: Event = { type: 'finished', status: 'COMPLETED' };

/** With a step that fails once, two side by side, and one whose metrics have no iteration. */
const WHOLE: Event[] = [
  started,
  begin('prepare'),
  end('prepare'),
  begin('train'),
  metric('train', 'iteration_1/silo0/Train Loss', 9, 0),
  failed('train'),
  begin('train', 2),
  begin('alone'),
  metric('train', 'iteration_1/silo0/Train Loss', 0.7, 0),
  metric('alone', 'silo1_alone/Train Loss', 0.8, 0),
  metric('train', 'iteration_1/silo0/Train Loss', 0.5, 1),
  metric('alone', 'Silos', 3),
  end('train', 2),
  end('alone'),
  completed,
];

const names = (runs: readonly MlflowRun[]) => runs.map(({ name, status }) => `${name} ${status}`);
const values = (metrics: readonly { key: string; value: number; step: number }[]) =>
  metrics.map(({ key, value, step }) => `${key} ${value} ${step}`).sort();
const WHOLE_RUNS = [
  `${RUN} FINISHED`,
  'prepare FINISHED',
  'train FAILED',
  'train (attempt 2) FINISHED',
  'alone FINISHED',
];
const notRefused = (error: Error): never => {
  throw error;
};

/** What is there is what `run show` says of each step. */
function assertAsShown(history: RunHistory, runs: readonly MlflowRun[]): void {
  for (const [step, { metrics }] of foldRun(history.events(RUN)).steps) {
    const run = runs.findLast((each) => each.tags.get('fedrad.step') === step)!;
    assert.deepEqual(
      values(run.metrics),
      metrics.map(({ name, value, iteration }) => `${name} ${value} ${iteration ?? 0}`).sort(),
    );
  }
}

for (const kind of ['a server', 'a folder']) {
  test(`a whole run on ${kind}: nested runs with the metrics and parameters of their steps`, async (context) => {
    const { append, history, to } = await scene(context);
    append(...WHOLE);
    const server = await startMlflow(context);
    const folder = join(await mkdtemp(join(tmpdir(), 'fedrad-mlruns-')), 'mlruns');
    context.after(() => rm(join(folder, '..'), { recursive: true, force: true }));
    await logRun(to(kind === 'a server' ? server.url : folder), notRefused);
    const runs = kind === 'a server' ? server.runs() : readMlruns(folder).runs;
    assert.deepEqual(names(runs), WHOLE_RUNS);
    assertAsShown(history, runs);
    const [parent, prepare, train] = runs as [MlflowRun, MlflowRun, MlflowRun];
    assert.deepEqual(values(parent.metrics), [
      'Silos 3 0',
      'iteration_1/silo0/Train Loss 0.5 1',
      'iteration_1/silo0/Train Loss 0.7 0',
      'silo1_alone/Train Loss 0.8 0',
    ]);
    assert.deepEqual(Object.fromEntries(parent.params), { lr: '0.01', seed: '1' });
    assert.deepEqual(Object.fromEntries(train.params), { lr: '0.01', seed: '1', epochs: '2' });
    assert.deepEqual(
      runs.slice(1).map(({ tags }) => tags.get('mlflow.parentRunId')),
      runs.slice(1).map(() => parent.id),
    );
    assert.equal(parent.tags.get('fedrad.run'), RUN);
    assert.equal(prepare.tags.get('fedrad.compute'), 'silo0-01');
    assert.deepEqual([prepare.startTime, prepare.endTime], [1_700_000_002_000, 1_700_000_003_000]);
  });
}

test('a server that lets nobody in at times: a copy goes on where the last one stopped, and nothing is there twice', async (context) => {
  const { append, history, to, stateFile } = await scene(context);
  append(...WHOLE);
  const { url, faults, runs } = await startMlflow(context);
  let calledOff = 0;
  for (let done = false; !done && calledOff < 60; ) {
    // A sign-in that fails is not tried again: the copy stops there, each time after four calls.
    faults.splice(0, faults.length, { match: /./, fault: 403, times: 1, skip: 4 });
    try {
      await logRun(to(url), notRefused);
      done = true;
    } catch (error) {
      calledOff += 1;
      assert.match(String(error), /does not let this user in/);
    }
  }
  assert.ok(calledOff > 2, String(calledOff));
  assert.deepEqual(names(runs()), WHOLE_RUNS);
  assertAsShown(history, runs());
  assert.equal(await trackedPlace(stateFile), url);
});

test('a run that is interrupted and resumed is the same run there', async (context) => {
  const { append, to, history } = await scene(context);
  const { url, runs } = await startMlflow(context);
  append(started, begin('train'), metric('train', 'loss', 9, 0));
  const first = trackRun(to(url), assert.fail);
  await first.close('interrupted');
  assert.deepEqual(names(runs()), [`${RUN} KILLED`, 'train KILLED']);
  append(started, begin('train'), metric('train', 'loss', 1, 0));
  const killed = trackRun(to(url), assert.fail);
  // It dies here: nothing more is heard of it.
  await killed.close('ended');
  assert.deepEqual(names(runs()), [`${RUN} RUNNING`, 'train KILLED', 'train RUNNING']);
  append(started, begin('train'), metric('train', 'loss', 0.5, 0), end('train'), completed);
  await trackRun(to(url), assert.fail).close('ended');
  assert.deepEqual(names(runs()), [`${RUN} FINISHED`, 'train KILLED', 'train KILLED', 'train FINISHED']);
  assertAsShown(history, runs());
  assert.deepEqual(values(runs()[0]!.metrics), ['loss 0.5 0']);
});

test('a problem is said once, with what to do, and what is missing comes at the end', async (context) => {
  const { append, to } = await scene(context);
  const { url, faults, runs } = await startMlflow(context);
  faults.push({ match: /./, fault: 403, times: 1 });
  const warnings: string[] = [];
  const warned = Promise.withResolvers<void>();
  const tracking = trackRun(to(url), (text) => {
    warnings.push(text);
    warned.resolve();
  });
  await warned.promise;
  append(...WHOLE);
  await tracking.close('ended');
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0]!,
    /^tracking: MLflow at http.*does not let.*the run is not affected.*fedrad run track calm_lung_7f3k2q$/,
  );
  assert.deepEqual(names(runs()), WHOLE_RUNS);
});

test('what the server refuses is left out, and the rest is there', async (context) => {
  const { append, to } = await scene(context);
  const { url, runs, faults } = await startMlflow(context);
  append(...WHOLE);
  // The parameters of the first step.
  faults.push({ match: /log-batch/, fault: 400, times: 1 });
  const refused: string[] = [];
  await logRun(to(url), ({ message }) => void refused.push(message));
  assert.deepEqual(names(runs()), WHOLE_RUNS);
  assert.equal(refused.length, 1);
  assert.match(refused[0]!, /runs\/log-batch: it answers 400/);
});

test('another place gets the whole run; a damaged note is said, and nothing is written over it', async (context) => {
  const { append, to, stateFile } = await scene(context);
  const [one, two] = [await startMlflow(context), await startMlflow(context)];
  append(...WHOLE);
  await logRun(to(one.url), notRefused);
  await logRun(to(two.url.replace('http://', 'http://ann:geheim@')), notRefused);
  assert.deepEqual(names(two.runs()), WHOLE_RUNS);
  assert.doesNotMatch(await readFile(stateFile, 'utf8'), /geheim/);
  await writeFile(stateFile, '{"place": 1');
  const warnings: string[] = [];
  await trackRun(to(one.url), (text) => void warnings.push(text)).close('ended');
  assert.match(warnings.join(), /tracking\.json: it is damaged \(remove it/);
  assert.equal(await readFile(stateFile, 'utf8'), '{"place": 1');
});
