import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseConfig, pneumoniaConfigSchema, pneumoniaGraph } from '../pipelines/index.ts';
import { isGivenUp, quorumOf } from './deadline.ts';

const example = readFileSync(join(import.meta.dirname, '..', '..', 'examples', 'pneumonia', 'config.yaml'), 'utf8');
const graphOf = (more: string) =>
  pneumoniaGraph(parseConfig(`${example}${more}`, pneumoniaConfigSchema, 'config.yaml'));

test('an update belongs to the quorum of its round, an evaluation to none', () => {
  const graph = graphOf('  min_silos: 2\n');
  const step = (id: string) => graph.steps.find((each) => each.id === id)!;
  assert.deepEqual(quorumOf(graph, step('iteration_2_silo1_training')), {
    steps: [0, 1, 2].map((silo) => `iteration_2_silo${silo}_training`),
    needed: 2,
  });
  assert.equal(quorumOf(graph, step('iteration_2_silo1_evaluation')), undefined);
  assert.equal(quorumOf(graphOf(''), step('iteration_2_silo1_training')), undefined, 'all are needed');
});

test('a late step is dropped at its deadline, or kept as long as its round needs it', () => {
  const quorum = { steps: ['a', 'b', 'c'], needed: 2 };
  const finished =
    (...ids: string[]) =>
    (id: string) =>
      ids.includes(id);
  assert.equal(isGivenUp('drop', quorum, finished()), true);
  assert.equal(isGivenUp('keep', quorum, finished('a')), false);
  assert.equal(isGivenUp('keep', quorum, finished('a', 'c')), true);
  assert.equal(isGivenUp('keep', undefined, finished()), true, 'nothing would ever end the waiting');
});

test('what the config says of late and failing hospitals stands in their steps only', () => {
  const graph = graphOf('  min_silos: 2\n  round_deadline_minutes: 30\n  late_updates: keep\n  suspend_after: 5\n');
  for (const { compute, round } of graph.steps) {
    const expected = { deadline_seconds: 1800, late_updates: 'keep', suspend_after: 5 };
    assert.deepEqual(round, compute.startsWith('silo') ? expected : undefined);
  }
  assert.ok(graphOf('').steps.every((step) => !('round' in step)));
});
