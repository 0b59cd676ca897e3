import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { openDiskSpace } from './disk-space.ts';

const space = openDiskSpace(tmpdir());
const refused = (error: string, logTail: string[] = []) => ({ kind: 'refused' as const, error, logTail });

test('what ends for want of space says so, in its error or its log', async () => {
  assert.equal(await space.isCause(refused('model: the disk is full: 103 MB needed, 0 B free')), true);
  assert.equal(await space.isCause({ kind: 'crashed', error: 'exit code 1', logTail: ['x: the disk is full'] }), true);
  assert.equal(await space.isCause(refused('config: learning rate')), false);
  assert.equal(await space.isCause({ kind: 'completed', outputs: {} }), false);
});

test('waiting ends with space, with its time, or with the signal', async () => {
  assert.equal(await space.wait(1000, new AbortController().signal), true);
  assert.equal(await space.wait(0, new AbortController().signal), false);
  assert.equal(await space.wait(1000, AbortSignal.abort()), false);
});
