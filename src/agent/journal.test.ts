import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { End } from '../messaging/index.ts';
import { openJournal } from './journal.ts';

const key = { run: 'r1', step: 's1', attempt: 1 };
const at = new Date('2026-01-01T00:00:00Z');
const end: End = {
  kind: 'end',
  ...key,
  compute: 'silo0-01',
  end: { kind: 'completed', outputs: {} },
  messages: [],
  seconds: 1,
};

async function journalPath(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-journal-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'journal.sqlite');
}

test('begun, ended, confirmed, forgotten', async (t) => {
  const path = await journalPath(t);
  using journal = openJournal(path);
  journal.begun(key, 'ack.1', at);
  assert.equal(journal.end(key), undefined);
  assert.deepEqual(journal.unanswered(), ['ack.1']);
  journal.ended(end, at);
  assert.deepEqual(journal.end(key), { end, confirmed: false });
  journal.confirmed(key);
  assert.deepEqual(journal.unanswered(), []);
  journal.begun(key, 'ack.2', at);
  assert.deepEqual(journal.end(key), { end, confirmed: false }, 'a redelivery keeps the end');
  assert.equal(journal.end({ ...key, attempt: 2 }), undefined);
  assert.deepEqual(
    journal.recent().map(({ kind, step }) => [kind, step]),
    [['completed', 's1']],
  );
  assert.deepEqual(journal.runs(), [{ run: 'r1', at: at.toISOString() }]);
  journal.forgetRun('r1');
  assert.equal(journal.end(key), undefined);
});

test('what a killed process wrote is there', async (t) => {
  const path = await journalPath(t);
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { openJournal } = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'journal.ts')))});
       openJournal(${JSON.stringify(path)}).ended(${JSON.stringify(end)}, new Date(0));
       process.kill(process.pid, 'SIGKILL');`,
    ],
    { stdio: 'ignore' },
  );
  await once(child, 'close');
  using journal = openJournal(path);
  assert.deepEqual(journal.end(key)?.end, end);
});
