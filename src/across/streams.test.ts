/** @file What a hospital does to the streams that it shares with others, by the headers of its own messages, on a real nats-server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { AGENTS_BUCKET, endSubject, endsStream } from '../messaging/index.ts';
import { skipWithoutNats, startFederation } from '../messaging/testing.ts';
import { prepareStreams } from './streams.ts';

test('no header of a hospital removes what others have said', { skip: skipWithoutNats }, async (t) => {
  const { federation, hospitals } = await startFederation(t, { silos: 2 });
  const orchestrator = await federation.connect('orchestrator');
  t.after(() => orchestrator.close());
  const computes = hospitals.map(({ compute }) => compute);
  await prepareStreams(orchestrator, computes);
  // As after a restart.
  await prepareStreams(orchestrator, computes);
  const [own, other] = await Promise.all(hospitals.map(({ membership }) => membership.connect('test')));
  t.after(() => Promise.all([own!.close(), other!.close()]));
  const subjects = (compute: string): string[] => [`$KV.${AGENTS_BUCKET}.${compute}`, endSubject(compute, 'run')];
  for (const subject of subjects(computes[1]!)) await jetstream(other!).publish(subject, 'of another');
  const counts = async (): Promise<number[]> => {
    const { streams } = await jetstreamManager(orchestrator);
    const infos = [`KV_${AGENTS_BUCKET}`, ...computes.map(endsStream)].map((name) => streams.info(name));
    return (await Promise.all(infos)).map(({ state }) => state.messages);
  };
  assert.deepEqual(await counts(), [1, 0, 1]);
  for (const subject of subjects(computes[0]!)) {
    for (const range of ['all', 'sub']) {
      const rollup = headers();
      rollup.set('Nats-Rollup', range);
      await assert.rejects(jetstream(own!).publish(subject, 'mine alone', { headers: rollup }), /rollup/);
    }
    await jetstream(own!).publish(subject, 'mine');
  }
  assert.deepEqual(await counts(), [2, 1, 1]);
});
