/** @file Keeps the benches running: their tiny form, as a person would call it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const bench = (...args: string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, 'run.ts'), ...args], { encoding: 'utf8' });

test('bench train --tiny --json prints one result a line', () => {
  const { stdout, stderr, status } = bench('train', '--tiny', '--json');
  assert.equal(status, 0, stderr);
  const results = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  // One line for each peer there is, at least one.
  assert.deepEqual(
    [...new Set(results.map(({ case: name }) => (name as string).split(',')[0]))],
    ['train', 'peak memory', 'evaluate'],
  );
  for (const result of results) {
    assert.deepEqual(Object.keys(result), ['bench', 'case', 'ours', 'peer', 'peer_name', 'unit', 'ratio']);
    assert.ok((result.ours as number) > 0);
  }
});

test('bench cost --tiny goes through threads, sizes, batches and networks', () => {
  const { stdout, stderr, status } = bench('cost', '--tiny', '--json');
  assert.equal(status, 0, stderr);
  const cases = stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { case: string }).case);
  for (const title of ['1 thread', '24x24', 'batch 3', 'small, 0.962 MB, peak memory'])
    assert.ok(cases.includes(title), `${title} of ${cases.join('; ')}`);
});

test('an unknown bench is named with what there is', () => {
  const { stderr, status } = bench('trian');
  assert.equal(status, 1);
  assert.match(stderr, /no bench "trian"; there are: train, roofline, cost, round/);
});
