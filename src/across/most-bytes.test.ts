import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mostBytes } from './most-bytes.ts';

test('a hospital gives at most twice the largest model that it was given, and some evidence', () => {
  const spare = 64 * 2 ** 20;
  assert.equal(mostBytes([]), spare);
  assert.equal(mostBytes([{ bytes: 5 }, { bytes: 103e6 }]), spare + 206e6);
});
