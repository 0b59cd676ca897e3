import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunEvent } from '../workspace/index.ts';
import { failuresInARow } from './suspension.ts';

const at = '2026-01-01T00:00:00.000Z';
const failed = (step: string): RunEvent => ({ type: 'step-failed', at, step, attempt: 1, error: 'e', logTail: [] });
const finished = (step: string): RunEvent => ({
  ...{ type: 'step-finished', at, step, attempt: 1, outputs: {}, seconds: 1, cpuSeconds: 1 },
});
const ended: RunEvent = { type: 'finished', at, status: 'FAILED' };

test("failures of a hospital count until one of its steps finishes or somebody takes the run up again; others' do not", () => {
  const own = new Set(['a', 'b']);
  assert.equal(failuresInARow([], own), 0);
  assert.equal(failuresInARow([failed('a'), failed('c'), failed('b')], own), 2);
  assert.equal(failuresInARow([failed('a'), finished('c'), failed('b')], own), 2);
  assert.equal(failuresInARow([failed('a'), finished('b'), failed('b')], own), 1);
  assert.equal(failuresInARow([failed('a'), failed('a'), ended], own), 0);
  // By no fault of the hospital.
  const elsewhere = { ...failed('a'), here: true } as RunEvent;
  assert.equal(failuresInARow([failed('a'), elsewhere, elsewhere], own), 1);
});
