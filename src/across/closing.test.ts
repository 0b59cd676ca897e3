import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import {
  endSubject,
  endsStream,
  MODELS_BUCKET,
  openObjects,
  RUNS_BUCKET,
  readKey,
  updatesBucket,
  WORK_STREAM,
  workSubject,
} from '../messaging/index.ts';
import { skipWithoutNats, startFederation } from '../messaging/testing.ts';
import { hashContent } from '../workspace/index.ts';
import { closeEndedRuns } from './nats-backend.ts';
import { prepareStreams } from './streams.ts';

test('of runs that ended while nobody could close them nothing stays; of others everything', {
  skip: skipWithoutNats,
}, async (t) => {
  const { federation, folder } = await startFederation(t, { silos: 1 });
  const nc = await federation.connect('test');
  t.after(() => nc.close());
  const compute = 'silo0-01';
  await prepareStreams(nc, [compute]);
  const model = join(folder, 'model');
  await writeFile(model, 'weights');
  const hash = await hashContent(model);
  const objects = openObjects(nc);
  for (const run of ['over', 'open']) {
    await objects.put(MODELS_BUCKET, run, model, hash);
    await objects.put(updatesBucket(compute), run, model, hash);
    await jetstream(nc).publish(workSubject(compute, run), 'work');
    await jetstream(nc).publish(endSubject(compute, run), 'end');
  }
  const problems: string[] = [];
  const options = { nc, federation, onProblem: (text: string) => void problems.push(text) };
  const ended = new Map([
    ['over', 'COMPLETED'],
    ['of another server', 'FAILED'],
  ]);
  for (let times = 0; times < 2; times++) {
    await closeEndedRuns(options, [compute], ended);
    assert.deepEqual(problems, []);
    for (const bucket of [MODELS_BUCKET, updatesBucket(compute)]) {
      assert.equal(await objects.has(bucket, 'over', hash.sha256), false);
      assert.equal(await objects.has(bucket, 'open', hash.sha256), true);
    }
    const jsm = await jetstreamManager(nc);
    for (const stream of [WORK_STREAM, endsStream(compute)])
      assert.equal((await jsm.streams.info(stream)).state.messages, 1);
    assert.ok(await readKey(nc, RUNS_BUCKET, 'over'));
    assert.equal(await readKey(nc, RUNS_BUCKET, 'open'), undefined);
  }
});

test('closing a run leaves the queued work of others to their hospital', { skip: skipWithoutNats }, async (t) => {
  const { federation } = await startFederation(t, { silos: 1 });
  const nc = await federation.connect('test');
  t.after(() => nc.close());
  const compute = 'silo0-01';
  await prepareStreams(nc, [compute]);
  const queued = ['before', 'over', 'between', 'over', 'after'];
  for (const run of queued) await jetstream(nc).publish(workSubject(compute, run), 'work');
  const problems: string[] = [];
  const options = { nc, federation, onProblem: (text: string) => void problems.push(text) };
  await closeEndedRuns(options, [compute], new Map([['over', 'CANCELED']]));
  assert.deepEqual(problems, []);
  const consumer = await jetstream(nc).consumers.get(WORK_STREAM, compute);
  for (const run of ['before', 'between', 'after']) {
    const message = await consumer.next({ expires: 5000 });
    assert.equal(message?.subject, workSubject(compute, run));
    message!.ack();
  }
});
