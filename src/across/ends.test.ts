/** @file How steps ended, as hospitals say it on a real nats-server: only of their own steps, and none can silence another. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type End, endSubject, endsStream, seal } from '../messaging/index.ts';
import { skipWithoutNats, startFederation } from '../messaging/testing.ts';
import { parseConfig, pneumoniaConfigSchema, pneumoniaGraph } from '../pipelines/index.ts';
import { openEnds } from './ends.ts';
import { prepareStreams } from './streams.ts';

const config = readFileSync(join(import.meta.dirname, '../../examples/pneumonia/config.yaml'), 'utf8');
const graph = pneumoniaGraph(parseConfig(config, pneumoniaConfigSchema, 'config.yaml'));
const [run, step] = ['calm_lung_7f3k2q', 'silo0_preparation'];

test('an end counts for a step of its own hospital, once; another hospital has a store of its own', {
  skip: skipWithoutNats,
}, async (t) => {
  const { federation, hospitals } = await startFederation(t, { silos: 2 });
  const nc = await federation.connect('orchestrator');
  const computes = hospitals.map(({ compute }) => compute) as [string, string];
  await prepareStreams(nc, computes);
  const problems: string[] = [];
  const ends = openEnds(nc, federation, { run, graph }, (text) => void problems.push(text));
  const connections = await Promise.all(hospitals.map(({ membership }) => membership.connect('test')));
  t.after(async () => {
    await ends.close();
    for (const each of [nc, ...connections]) await each.close();
  });
  const say = async (index: number, change: Partial<End>): Promise<void> => {
    const end: End = {
      ...{ kind: 'end', run, step, attempt: 1, compute: computes[index]!, messages: [], seconds: 1 },
      ...{ end: { kind: 'crashed', error: 'the first', logTail: [] }, ...change },
    };
    const bytes = seal(end, hospitals[index]!.membership.signingKey);
    await jetstream(connections[index]!).publish(endSubject(computes[index]!, run), bytes);
  };
  await say(1, {});
  await say(1, { compute: computes[0] });
  await say(0, { step: 'no_such_step' });
  await say(0, { end: { kind: 'crashed', error: '\u001b[2Jthe first', logTail: ['\u0007'] } });
  await say(0, { end: { kind: 'crashed', error: 'the second', logTail: [] } });

  const { signal } = new AbortController();
  const { end } = await ends.of(computes[0], step, 1, signal);
  // Without what a terminal would obey.
  assert.deepEqual(end, { kind: 'crashed', error: '[2Jthe first', logTail: [''] });
  assert.match(problems.join('\n'), /message from silo0-01: the run has no step "no_such_step" there/);
  await say(1, { step: 'silo1_preparation' });
  await ends.of(computes[1], 'silo1_preparation', 1, signal);
  assert.match(problems.join('\n'), /message from silo1-01: the run has no step "silo0_preparation" there/);
  assert.match(problems.join('\n'), /message from silo1-01: it speaks for another compute or run/);

  const { streams } = await jetstreamManager(nc);
  const counts = await Promise.all(computes.map(async (each) => (await streams.info(endsStream(each))).state.messages));
  assert.deepEqual(counts, [3, 3]);
});
