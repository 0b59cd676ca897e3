/** @file The chaos suite itself, in small: its schedule, and a few faults of a fixed seed. `npm run chaos` does hundreds. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipWithoutNats } from '../../src/messaging/testing.ts';
import { cleanupOf } from '../hospitals/tool.ts';
import { chaos } from './chaos.ts';
import { FAULT_KINDS, type Fault, schedule } from './schedule.ts';

const SILOS = 3;
const first = (count: number, seed: number): Fault[] => {
  const faults = schedule(seed, SILOS);
  return Array.from({ length: count }, () => faults.next().value as Fault);
};

test('a seed names one schedule', () => {
  assert.deepEqual(first(300, 7), first(300, 7));
  assert.notDeepEqual(first(300, 7), first(300, 8));
});

test('every kind of fault comes, to every host, and each has an end', () => {
  const faults = first(2000, 1);
  assert.deepEqual(new Set(faults.map(({ kind }) => kind)), new Set(FAULT_KINDS));
  for (const { kind, host, afterMs, forMs, which, at } of faults) {
    assert.ok(host >= 0 && host < (/link|connections/.test(kind) ? SILOS + 1 : SILOS));
    assert.ok(afterMs >= 0 && afterMs < 3000 && forMs >= 100 && forMs < 4000);
    for (const draw of [which, at]) assert.ok(draw >= 0 && draw < 1);
  }
  assert.equal(new Set(faults.filter(({ kind }) => kind === 'kill agent').map(({ host }) => host)).size, SILOS);
  assert.equal(new Set(faults.filter(({ kind }) => kind === 'stall link').map(({ host }) => host)).size, SILOS + 1);
});

test('a few faults: nothing is lost, and the bits are those without', { skip: skipWithoutNats }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-chaos-'));
  const cleanup = cleanupOf(t);
  cleanup.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const log: string[] = [];
  const { faults, survived, lost_updates, model_hash, reference_hash } = await chaos(cleanup, {
    ...{ folder, faults: 6, seed: 3, minutes: 3, source: 'phantom:24' },
    training: '  image_size: 16\n  channels: [8]\n  hidden: 32\n',
    note: (text) => void log.push(text),
  });
  assert.ok(faults > 0);
  assert.deepEqual({ survived, lost_updates }, { survived: faults, lost_updates: 0 }, log.join('\n'));
  assert.equal(model_hash, reference_hash, log.join('\n'));
});
