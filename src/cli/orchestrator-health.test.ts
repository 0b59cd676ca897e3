import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseConfig, pneumoniaConfigSchema, pneumoniaGraph } from '../pipelines/index.ts';
import { openRunHistory } from '../workspace/index.ts';
import { failureCounter } from './orchestrator-health.ts';
import { runFolder, writeRunFiles } from './run-folder.ts';

const example = join(import.meta.dirname, '..', '..', 'examples', 'pneumonia', 'config.yaml');
const at = '2026-11-25T08:00:00.000Z';

test('failures are counted by compute, once each, and stay when the run ends or its folder goes', async (context) => {
  const home = await mkdtemp(join(tmpdir(), 'fedrad health '));
  context.after(() => rm(home, { recursive: true, force: true }));
  using history = await openRunHistory(home);
  const text = await readFile(example, 'utf8');
  const graph = pneumoniaGraph(parseConfig(text, pneumoniaConfigSchema, 'config.yaml'));
  const step = graph.steps.find(({ component }) => component === 'train-in-silo')!;
  const fail = (id: string): unknown =>
    history.append(id, { type: 'step-failed', at, step: step.id, attempt: 1, error: 'no', logTail: [] });
  const counts: Record<string, number> = {};
  const count = failureCounter(home, history, (compute) => {
    counts[compute] = (counts[compute] ?? 0) + 1;
  });
  for (const id of ['a-run', 'gone-run']) {
    history.create({ id, at, experiment: 'e', pipeline: 'pneumonia', workspace: 'w', graphHash: 'h' });
    await writeRunFiles(home, id, graph, text);
    await count(id);
  }
  assert.deepEqual(counts, {});
  fail('a-run');
  // Two scrapes at once.
  await Promise.all([count('a-run'), count('a-run')]);
  fail('a-run');
  history.append('a-run', { type: 'finished', at, status: 'FAILED', reason: 'no' });
  for (let scrape = 0; scrape < 3; scrape++) await count('a-run');
  assert.deepEqual(counts, { [step.compute]: 2 });
  await rm(runFolder(home, 'gone-run'), { recursive: true });
  fail('gone-run');
  await count('gone-run');
  assert.deepEqual(counts, { [step.compute]: 2, unknown: 1 });
});
