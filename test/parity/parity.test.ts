import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutNats } from '../../src/messaging/testing.ts';
import { cleanupOf } from '../hospitals/tool.ts';
import { parity } from './parity.ts';

test('on every backend the same federation gives the same model', { skip: skipWithoutNats }, async (t) => {
  const hashes: string[] = [];
  for await (const line of parity(cleanupOf(t))) if ('model_hash' in line) hashes.push(line.model_hash);
  assert.ok(hashes.length >= 2);
  assert.match(hashes[0]!, /^[0-9a-f]{64}$/);
  assert.equal(new Set(hashes).size, 1);
});
