import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { openRunHistory } from './run-history.ts';
import { foldRun } from './run-state.ts';
import { runProcess, startProcess, temporaryHome } from './testing.ts';

const at = '2026-01-02T03:04:05.678Z';
const run = { at, experiment: 'fl_demo', pipeline: 'pneumonia', workspace: 'aml-fldemo', graphHash: 'abc' };
const started = { type: 'started', at, pid: 7, sandbox: 'bubblewrap', cores: 2 } as const;
const metric = (value: number) => ({ type: 'metric', at, step: 'train-0', name: 'loss', value }) as const;

async function freshHistory(t: TestContext) {
  const home = await temporaryHome(t);
  const history = await openRunHistory(home);
  t.after(() => history.close());
  return { home, history, path: join(home, 'runs.sqlite') };
}

test('events come back as they went in, numbered, from any point on', async (t) => {
  const { home, history } = await freshHistory(t);
  history.create({ id: 'calm_lung_7f3k2q', ...run });
  assert.equal(history.append('calm_lung_7f3k2q', { ...started, kernels: 'relaxed-simd' }), 2);
  assert.equal(history.append('calm_lung_7f3k2q', metric(0.3)), 3);
  const expected = [
    { type: 'submitted', ...run, seq: 1 },
    { ...started, kernels: 'relaxed-simd', seq: 2 },
    { ...metric(0.3), seq: 3 },
  ];
  assert.deepEqual(history.events('calm_lung_7f3k2q'), expected);
  assert.deepEqual(history.events('calm_lung_7f3k2q', 2), expected.slice(2));
  assert.deepEqual(history.events('calm_lung_7f3k2q', 3), []);
  using again = await openRunHistory(home);
  assert.deepEqual(again.events('calm_lung_7f3k2q'), expected);
});

test('runs are listed in the order of their creation, with their state', async (t) => {
  const { history } = await freshHistory(t);
  assert.deepEqual(history.list(), []);
  for (const id of ['zzz', 'aaa', 'mmm']) history.create({ id, ...run });
  history.append('aaa', started);
  history.append('zzz', started);
  history.append('zzz', metric(1));
  history.append('zzz', { type: 'finished', at, status: 'FAILED', reason: 'no images' });
  assert.deepEqual(
    history.list().map(({ id, status, reason }) => [id, status, reason]),
    [
      ['zzz', 'FAILED', 'no images'],
      ['aaa', 'RUNNING', undefined],
      ['mmm', 'QUEUED', undefined],
    ],
  );
  const { steps: _steps, ...state } = foldRun(history.events('zzz'));
  assert.deepEqual(history.list()[0], { id: 'zzz', ...state });
});

test('what is not an event, and runs that are not there, are refused', async (t) => {
  const { history } = await freshHistory(t);
  history.create({ id: 'calm_lung_7f3k2q', ...run });
  assert.throws(() => history.create({ id: 'calm_lung_7f3k2q', ...run }), /run "calm_lung_7f3k2q" exists/);
  assert.throws(
    () => history.create({ id: '../up', ...run }),
    /expected a name such as calm_lung_7f3k2q, got "..\/up"/,
  );
  for (const [event, message] of [
    [metric(Number.NaN), /run calm_lung_7f3k2q: not an event: value: /],
    [{ ...metric(1), at: 'yesterday' }, /not an event: at: /],
    [{ ...metric(1), extra: 1 }, /not an event: /],
    [{ type: 'wished', at }, /not an event: type: /],
  ] as const) {
    assert.throws(() => history.append('calm_lung_7f3k2q', event as ReturnType<typeof metric>), message);
  }
  for (const ask of [
    () => history.append('calm_lung_7f3k2p', started),
    () => history.events('calm_lung_7f3k2p'),
    () => history.lock('calm_lung_7f3k2p'),
    () => history.isLocked('calm_lung_7f3k2p'),
  ]) {
    assert.throws(ask, /no run "calm_lung_7f3k2p"; did you mean calm_lung_7f3k2q\? \(fedrad run list\)/);
  }
  assert.equal(history.events('calm_lung_7f3k2q').length, 1);
});

test('processes that append at once interleave with unique, increasing numbers, while others read', async (t) => {
  const { home, history } = await freshHistory(t);
  history.create({ id: 'shared', ...run });
  const append = `
    const history = await room.openRunHistory(args[0]);
    const seqs = [];
    for (let i = 0; i < 40; i++) {
      seqs.push(history.append('shared', { type: 'metric', at: '${at}', step: args[1], name: 'n', value: i }));
    }
    console.log(JSON.stringify(seqs));`;
  const writers = Promise.all(['a', 'b', 'c'].map((step) => runProcess(append, home, step)));
  let writing = true;
  const finished = writers.finally(() => {
    writing = false;
  });
  while (writing) {
    const seqs = history.events('shared').map(({ seq }) => seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, index) => index + 1),
    );
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const returned = (await finished).map((text): number[] => JSON.parse(text));
  for (const seqs of returned) {
    assert.deepEqual(
      seqs,
      seqs.toSorted((a, b) => a - b),
    );
  }
  assert.deepEqual(
    returned.flat().toSorted((a, b) => a - b),
    Array.from({ length: 120 }, (_, index) => index + 2),
  );
  const events = history.events('shared').filter((event) => event.type === 'metric');
  for (const [writer, step] of ['a', 'b', 'c'].entries()) {
    const own = events.filter((event) => event.step === step);
    assert.deepEqual(
      own.map(({ seq }) => seq),
      returned[writer],
    );
    assert.deepEqual(
      own.map(({ value }) => value),
      Array.from({ length: 40 }, (_, index) => index),
    );
  }
});

test('every event whose append returned survives kill -9 of the process that wrote it', async (t) => {
  const { home, history } = await freshHistory(t);
  history.create({ id: 'doomed', ...run });
  const child = startProcess(
    `const history = await room.openRunHistory(args[0]);
     for (let i = 0; ; i++) {
       const seq = history.append('doomed', { type: 'metric', at: '${at}', step: 's', name: 'n', value: i });
       process.getBuiltinModule('node:fs').writeSync(1, seq + '\\n');
     }`,
    home,
  );
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
    if (output.length > 100) child.kill('SIGKILL');
  });
  await once(child, 'close');
  const acknowledged = output.slice(0, output.lastIndexOf('\n')).split('\n').map(Number);
  const seqs = history.events('doomed').map(({ seq }) => seq);
  assert.ok(acknowledged.length > 10);
  assert.ok(seqs.length >= acknowledged.at(-1)!);
  assert.deepEqual(
    seqs,
    seqs.map((_, index) => index + 1),
  );
  history.append('doomed', metric(1));
});

test('a run is held by one at a time, until released', async (t) => {
  const { home, history } = await freshHistory(t);
  history.create({ id: 'held', ...run });
  history.create({ id: 'other', ...run });
  assert.equal(history.isLocked('held'), false);
  const lock = history.lock('held');
  assert.ok(lock);
  assert.equal(history.isLocked('held'), true);
  assert.equal(history.lock('held'), undefined, 'not twice by the same process either');
  const ask = `const history = await room.openRunHistory(args[0]);
    console.log(history.isLocked('held'), history.lock('held') !== undefined, history.isLocked('other'));`;
  assert.equal(await runProcess(ask, home), 'true false false\n');
  history.append('held', metric(1));
  lock.release();
  lock.release();
  assert.equal(await runProcess(ask, home), 'false true false\n');
  assert.equal(history.isLocked('held'), false, 'the end of a process releases what it held');
});

test('kill -9 releases the lock of a run', async (t) => {
  const { home, history } = await freshHistory(t);
  history.create({ id: 'held', ...run });
  const child = startProcess(
    `const history = await room.openRunHistory(args[0]);
     globalThis.lock = history.lock('held');
     console.log('locked');
     setInterval(() => {}, 1000);`,
    home,
  );
  await once(child.stdout, 'data');
  assert.equal(history.isLocked('held'), true);
  assert.equal(history.lock('held'), undefined);
  child.kill('SIGKILL');
  await once(child, 'close');
  assert.equal(history.isLocked('held'), false);
  using lock = history.lock('held');
  assert.ok(lock);
});

test('the log cannot be rewritten', async (t) => {
  const { history, path } = await freshHistory(t);
  history.create({ id: 'kept', ...run });
  using database = new DatabaseSync(path);
  assert.throws(() => database.exec(`UPDATE event SET body = '{}'`), /the history is append-only/);
  assert.throws(() => database.exec('DELETE FROM event'), /the history is append-only/);
});

test('a history of a newer fedrad is refused', async (t) => {
  const { home, history, path } = await freshHistory(t);
  history.close();
  const database = new DatabaseSync(path);
  database.exec('PRAGMA user_version = 2');
  database.close();
  await assert.rejects(
    openRunHistory(home),
    /runs\.sqlite: a newer fedrad wrote it \(schema 2; this fedrad knows .* up to 1\)/,
  );
});

test('a damaged history is one clear error, whether its head or its middle is damaged', async (t) => {
  const { home, history, path } = await freshHistory(t);
  history.create({ id: 'long', ...run });
  for (let index = 0; index < 200; index++) history.append('long', { ...metric(index), name: 'x'.repeat(100) });
  history.close();
  const bytes = await readFile(path);
  await writeFile(path, 'not a database, but long enough to be looked at as one'.repeat(100));
  await assert.rejects(
    openRunHistory(home),
    /runs\.sqlite: it is damaged: .* \(restore it from a backup, or move it away/,
  );
  await writeFile(path, bytes.fill(0xa5, 8192));
  await assert.rejects(
    async () => {
      using damaged = await openRunHistory(home);
      damaged.events('long');
    },
    { name: 'FedradError', message: /runs\.sqlite: it is damaged: / },
  );
});

test('an event that someone edited is told from one that fedrad wrote', async (t) => {
  const { history, path } = await freshHistory(t);
  history.create({ id: 'edited', ...run });
  const database = new DatabaseSync(path);
  database.exec(`DROP TRIGGER event_never_changes; UPDATE event SET body = '{"type":"finished"}'`);
  database.close();
  assert.throws(() => history.events('edited'), /it is damaged: event 1: /);
});

test('an event may be long and hold any text', async (t) => {
  const { history } = await freshHistory(t);
  history.create({ id: 'loud', ...run });
  const event = {
    type: 'step-failed' as const,
    at,
    step: 's',
    attempt: 1,
    error: `it's "over"\n`.repeat(1000),
    logTail: Array.from({ length: 500 }, (_, line) => `line ${line} ✓`),
  };
  history.append('loud', event);
  assert.deepEqual(history.events('loud', 1), [{ ...event, seq: 2 }]);
});

test('the list says what a run waits for, and of a run that has ended how', async (t) => {
  const home = await temporaryHome(t);
  using history = await openRunHistory(home);
  const at = '2026-01-01T00:00:00.000Z';
  history.create({ id: 'aaa', at, experiment: 'e', pipeline: 'p', workspace: 'w', graphHash: 'h' });
  history.append('aaa', { type: 'started', at, pid: 1, sandbox: 's', cores: 1 });
  history.append('aaa', { type: 'step-started', at, step: 'x', attempt: 1, threads: 1 });
  history.append('aaa', { type: 'step-waiting', at, step: 'x', reason: 'silo0-01 is away' });
  assert.deepEqual([history.list()[0]!.status, history.list()[0]!.reason], ['WAITING', 'x: silo0-01 is away']);
  history.append('aaa', { type: 'finished', at, status: 'FAILED', reason: 'late' });
  assert.deepEqual([history.list()[0]!.status, history.list()[0]!.reason], ['FAILED', 'late']);
});
