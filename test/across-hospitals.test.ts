/**
 * @file A federation as its operators see it: a real nats-server, the orchestrator's service and the hospitals' agents as processes, the
 * commands as a person types them. What is said of runs whose hospitals are away, late, failing, or cut off.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { skipWithoutNats, startFederation, startProxy } from '../src/messaging/testing.ts';
import { foldRun, openRunHistory, type RunState } from '../src/workspace/index.ts';
import { program } from './cli.ts';
import { runToEnd } from './hospitals/tool.ts';

const WAIT_MS = 120_000;
const examples = join(import.meta.dirname, '..', 'examples');

/** Processes of fedrad that end with the test. */
function processes(t: TestContext) {
  const start = (home: string, ...args: readonly string[]): ChildProcess => {
    const child = spawn(process.execPath, [program, '--home', home, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout!.resume();
    child.stderr!.resume();
    t.after(() => kill(child));
    return child;
  };
  const kill = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  const ok = (home: string, ...args: readonly string[]): Promise<string> =>
    runToEnd(process.execPath, [program, '--home', home, ...args]);
  return { start, kill, ok };
}

test('a federation whose hospitals come late, stay away, fail and are cut off', {
  skip: skipWithoutNats,
}, async (t) => {
  const proxy = await startProxy(t);
  const federation = await startFederation(t, { host: 'localhost', proxies: { 'silo1-01': proxy.url } });
  const { home, hospitals, folder } = federation;
  const { start, kill, ok } = processes(t);
  const orchestrator = () => start(home, 'orchestrator', 'start', '--http', '127.0.0.1:0');
  const agent = (silo: number) => start(hospitals[silo]!.home, 'agent');
  const config = async (name: string, more: string): Promise<string> => {
    const text = await readFile(join(examples, 'pneumonia', 'config.yaml'), 'utf8');
    const file = join(folder, `${name}.yaml`);
    const small = '  image_size: 16\n  channels: [8]\n  hidden: 32\n';
    await writeFile(file, `${text.replace('  epochs: 5', '  epochs: 1')}${small}${more}`);
    return file;
  };
  /** Waits until the run is as wanted. */
  const until = async (id: string, wanted: (run: RunState) => boolean): Promise<RunState> => {
    using history = await openRunHistory(home);
    for (const deadline = performance.now() + WAIT_MS; ; await sleep(100)) {
      const run = foldRun(history.events(id));
      if (wanted(run)) return run;
      if (performance.now() > deadline) throw new Error(`waited ${WAIT_MS} ms: ${run.status} (${run.reason ?? ''})`);
    }
  };
  const isOver = ({ status }: RunState): boolean => ['COMPLETED', 'FAILED', 'CANCELED'].includes(status);
  const submit = async (file: string): Promise<string> =>
    (JSON.parse(await ok(home, 'submit', 'pneumonia', '--config', file, '--json')) as { id: string }).id;
  const modelOf = (run: RunState): string =>
    run.steps.get('iteration_2_aggregation')!.outputs['aggregated_output']!.sha256;

  let service = orchestrator();
  const agents = [agent(0), agent(1), agent(2)];
  const upload = join(folder, 'upload.yaml');
  const uploadText = await readFile(join(examples, 'upload-data', 'config.yaml'), 'utf8');
  await writeFile(upload, `${uploadText}\ndata: {source: "phantom:24", phantom_size: 32}\n`);
  await ok(home, 'submit', 'upload-data', '--example', 'PNEUMONIA', '--config', upload, '--wait');
  const heard = async (): Promise<number> =>
    (JSON.parse(await ok(home, 'silo', 'list', '--json')) as { lastHeard?: string }[]).filter((each) => each.lastHeard)
      .length;
  for (const deadline = performance.now() + WAIT_MS; (await heard()) < 3; await sleep(300))
    assert.ok(performance.now() < deadline, 'every hospital is heard of');
  let reference = '';

  await t.test('a run waits for a hospital that is away, says so, and goes on when it comes', async () => {
    await kill(agents[2]!);
    const id = await submit(await config('waits', ''));
    const waiting = await until(id, ({ status }) => status === 'WAITING');
    assert.match(waiting.reason!, /silo2_preparation: silo2-01 was last heard of 20/);
    agents[2] = agent(2);
    const ended = await until(id, isOver);
    assert.equal(ended.status, 'COMPLETED', ended.reason ?? '');
    reference = modelOf(ended);
  });

  await t.test('the orchestrator, killed with -9 while hospitals train, goes on to the same bits', async () => {
    const id = await submit(await config('killed', ''));
    await until(id, ({ steps }) => steps.has('iteration_1_silo0_training'));
    await kill(service);
    service = orchestrator();
    const ended = await until(id, isOver);
    assert.equal(ended.status, 'COMPLETED', ended.reason ?? '');
    assert.equal(modelOf(ended), reference);
  });

  await t.test('where late updates are kept, one counts as long as the round has too few', async (part) => {
    const more = '  min_silos: 2\n  round_deadline_minutes: 0.1\n  late_updates: keep\n  suspend_after: 100\n';
    const id = await submit(await config('kept', more));
    await until(id, ({ steps }) => steps.has('iteration_1_silo1_training') && steps.has('iteration_1_silo2_training'));
    await Promise.all([kill(agents[1]!), kill(agents[2]!)]);
    part.after(() => {
      agents[1] = agent(1);
    });
    // Longer than the deadline.
    await sleep(8_000);
    agents[2] = agent(2);
    const ended = await until(id, isOver);
    assert.equal(ended.status, 'COMPLETED', ended.reason ?? '');
    const first = (silo: number) => ended.steps.get(`iteration_1_silo${silo}_training`)!.attempts[0]!;
    assert.equal(first(2).status, 'completed');
    const lost = first(1);
    assert.ok(lost.status === 'failed' && /no result of silo1-01 within 6 s/.test(lost.error));
  });

  await t.test('one hospital is there by WebSocket through a proxy only', () => {
    assert.deepEqual(new Set(proxy.asked), new Set([new URL(federation.websocketUrl).host]));
  });

  await t.test('a canceled run stops at the hospitals', async () => {
    const file = await config('canceled', '');
    await writeFile(file, (await readFile(file, 'utf8')).replace('  epochs: 1', '  epochs: 900'));
    const id = await submit(file);
    await until(id, ({ steps }) => steps.has('iteration_1_silo0_training'));
    await ok(home, 'run', 'cancel', id);
    assert.equal((await until(id, isOver)).status, 'CANCELED');
    const isFree = async (): Promise<boolean> =>
      (JSON.parse(await ok(hospitals[0]!.home, 'agent', 'status', '--json')) as { last: { running: unknown[] } }).last
        .running.length === 0;
    for (const deadline = performance.now() + WAIT_MS; !(await isFree()); await sleep(300))
      assert.ok(performance.now() < deadline, 'the step goes on at the hospital');
  });

  await t.test('with enough others the round goes on without one that is late, and the run says so', async (part) => {
    await kill(agents[2]!);
    part.after(() => {
      agents[2] = agent(2);
    });
    const more = '  min_silos: 2\n  round_deadline_minutes: 0.4\n  suspend_after: 100\n';
    const id = await submit(await config('late', more));
    const degraded = await until(id, (run) => run.status === 'DEGRADED' || isOver(run));
    assert.equal(degraded.status, 'DEGRADED', degraded.reason ?? '');
    const ended = await until(id, isOver);
    assert.equal(ended.status, 'COMPLETED', ended.reason ?? '');
    const [late] = ended.steps.get('silo2_preparation')!.attempts;
    assert.ok(late?.status === 'failed');
    assert.match(late.error, /no result of silo2-01 within 24 s/);
    assert.notEqual(modelOf(ended), reference);
  });

  await t.test('a hospital that fails again and again is suspended, shown, and taken up again', async () => {
    const raw = join(hospitals[1]!.home, 'agent', 'datastores', 'datastore_silo1', 'federated_learning');
    await rm(raw, { recursive: true });
    assert.equal(agents[2]!.exitCode, null);
    const id = await submit(await config('suspended', '  min_silos: 2\n  suspend_after: 1\n'));
    const ended = await until(id, isOver);
    assert.equal(ended.status, 'COMPLETED', ended.reason ?? '');
    const list = async () =>
      JSON.parse(await ok(home, 'silo', 'list', '--json')) as { compute: string; state: string; lastHeard: string }[];
    const silo1 = (await list()).find(({ compute }) => compute === 'silo1-01')!;
    assert.equal(silo1.state, 'suspended');
    assert.match(silo1.lastHeard, /^20\d\d-/);
    await ok(home, 'silo', 'resume', 'silo1');
    assert.equal((await list()).find(({ compute }) => compute === 'silo1-01')!.state, 'joined');
  });

  await t.test('images that lie in the datastores of the hospitals are taken from there, all of them', async () => {
    const datastore = (silo: number): string =>
      join(hospitals[silo]!.home, 'agent', 'datastores', `datastore_silo${silo}`);
    for (const silo of hospitals.keys()) {
      for (const label of ['NORMAL', 'PNEUMONIA']) {
        const images = join(datastore(0), 'federated_learning', 'pneumonia', 'train', label);
        await cp(images, join(datastore(silo), 'incoming', label), { recursive: true });
      }
    }
    const own = join(folder, 'own.yaml');
    const from = async (source: string): Promise<string> => {
      await writeFile(own, `${uploadText}\ndata: {source: "${source}"}\n`);
      return ok(home, 'submit', 'upload-data', '--example', 'PNEUMONIA', '--config', own, '--wait');
    };
    await from('azureml://datastores/${{silo.datastore}}/paths/incoming');
    for (const silo of hospitals.keys()) {
      const text = await readFile(join(datastore(silo), 'federated_learning', 'pneumonia', 'summary.json'), 'utf8');
      const summary = JSON.parse(text) as { source: string; given: number; siloCount: number };
      assert.deepEqual([summary.source, summary.siloCount], ['folder', 1]);
      assert.ok(summary.given > 15);
    }
    const shared = from('azureml://datastores/datastore_orchestrator/paths/incoming');
    await assert.rejects(shared, /silo0-01 reads its own datastore alone, not datastore_orchestrator/);
  });

  await t.test(
    'a revoked hospital is cut off while it works; with too few others the run fails and says why',
    async () => {
      const file = await config('revoked', '');
      await writeFile(file, (await readFile(file, 'utf8')).replace('  epochs: 1', '  epochs: 900'));
      await ok(home, 'submit', 'upload-data', '--example', 'PNEUMONIA', '--config', upload, '--wait');
      const id = await submit(file);
      await until(id, ({ steps }) => steps.has('iteration_1_silo2_training'));
      await ok(home, 'silo', 'revoke', 'silo2');
      const ended = await until(id, isOver);
      assert.equal(ended.status, 'FAILED');
      assert.match(ended.reason!, /silo2-01 is revoked/);
    },
  );
});
