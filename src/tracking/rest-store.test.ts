/** @file A server that is busy, broken, gone or not MLflow at all, over real HTTP against the stand-in; and who signs in how. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type MlflowFault, startMlflow } from '../../test/azure/mlflow.ts';
import { openTracking, type TrackingOptions } from './open-tracking.ts';
import { Refused } from './store.ts';

/** Pauses that end at once, and how long they would have been. */
function pauses(): { waited: number[]; options: TrackingOptions } {
  const waited: number[] = [];
  return { waited, options: { wait: async (ms) => void waited.push(ms) } };
}

const RUN = { name: 'a', startedAt: 1, tags: {} };
const fault = (match: RegExp, kind: MlflowFault['fault'], times: number, retryAfter?: string): MlflowFault => ({
  ...{ match, fault: kind, times },
  ...(retryAfter === undefined ? {} : { retryAfter }),
});

test('what is busy, broken or dropped is tried again, and nothing is there twice', async (context) => {
  const { url, faults, runs, state } = await startMlflow(context);
  const { waited, options } = pauses();
  const store = openTracking(url, options);
  faults.push(
    fault(/get-by-name/, 429, 1, '7'),
    fault(/experiments\/create/, 'drop-after', 1),
    fault(/runs\/create/, 'drop-after', 1),
    fault(/runs\/create/, 503, 2),
    fault(/runs\/search/, 500, 1),
    fault(/log-batch/, 500, 1),
    fault(/log-batch/, 'drop-before', 1),
    fault(/log-batch/, 'drop-after', 1),
    fault(/runs\/update/, 502, 1),
  );
  const experimentId = await store.experiment('e');
  const id = await store.startRun({ experimentId, ...RUN });
  const metrics = [1, 2, 3].map((step) => ({ name: 'loss', value: 1 / step, at: step, step }));
  await store.log(id, { metrics, params: { lr: '1' } });
  await store.setStatus(id, 'FINISHED', 9);
  assert.deepEqual(
    faults.map(({ times }) => times),
    // The run was made before the connection was dropped, and is found: no second one is asked for.
    [0, 0, 0, 2, 0, 0, 0, 0, 0],
  );
  assert.equal(waited[0], 7000);
  assert.deepEqual([state.experiments.size, runs().length], [2, 1]);
  assert.deepEqual([runs()[0]!.id, runs()[0]!.metrics.length, runs()[0]!.status], [id, 3, 'FINISHED']);
});

test('pauses grow, a long Retry-After is cut, and after five tries it is over', async (context) => {
  const { url, faults, calls } = await startMlflow(context);
  const { waited, options } = pauses();
  faults.push(fault(/get-by-name/, 429, 1, '86400'), fault(/get-by-name/, 500, 100));
  await assert.rejects(
    openTracking(url, options).experiment('e'),
    /MLflow at http.*it answers 500.*is the server there\?/,
  );
  assert.deepEqual(waited, [60_000, 1000, 2000, 4000]);
  assert.equal(calls.length, 5);
});

test('a request that the server does not take is not sent again', async (context) => {
  const { url, calls } = await startMlflow(context);
  const store = openTracking(url);
  const id = await store.startRun({ experimentId: await store.experiment('e'), ...RUN });
  const before = calls.length;
  await assert.rejects(store.log(id, { metrics: [{ name: '../x', value: 1, at: 1, step: 0 }] }), Refused);
  assert.equal(calls.length, before + 1);
});

test('a deleted experiment is said, with how to restore it', async (context) => {
  const { url, state } = await startMlflow(context);
  state.experiments.set('7', { name: 'e', stage: 'deleted' });
  await assert.rejects(
    openTracking(url).experiment('e'),
    /experiment "e" is deleted there \(mlflow experiments restore -x 7\)/,
  );
});

test('who signs in: name and password, else the token; never into a message', async (context) => {
  const password = await startMlflow(context, `Basic ${Buffer.from('ann:geheim').toString('base64')}`);
  const token = await startMlflow(context, 'Bearer abc.def');
  const login = { MLFLOW_TRACKING_USERNAME: 'ann', MLFLOW_TRACKING_PASSWORD: 'geheim' };
  await openTracking(password.url, { environment: { ...login, MLFLOW_TRACKING_TOKEN: 'abc.def' } }).experiment('e');
  await openTracking(password.url.replace('http://', 'http://ann:geheim@')).experiment('e');
  await openTracking(token.url, { environment: { MLFLOW_TRACKING_TOKEN: 'abc.def\n' } }).experiment('e');
  // Azure ML's token is for Azure ML.
  for (const environment of [{ MLFLOW_TRACKING_TOKEN: 'wrong.token' }, { AZUREML_RUN_TOKEN: 'abc.def' }]) {
    const store = openTracking(token.url.replace('http://', 'http://ann:geheim@'), { environment });
    await assert.rejects(store.experiment('e'), (error: Error) => {
      assert.match(error.message, /does not let this user in \(401\) \(set MLFLOW_TRACKING_TOKEN/);
      assert.doesNotMatch(error.message, /geheim|wrong|abc/);
      return true;
    });
  }
  assert.throws(
    () => openTracking(token.url, { environment: { MLFLOW_TRACKING_TOKEN: 'abc\ndef' } }),
    (error: Error) =>
      /MLFLOW_TRACKING_TOKEN: it holds characters/.test(error.message) && !error.message.includes('abc'),
  );
});

test('what is no MLflow is said; a redirect is not followed, so no token goes with it', async (context) => {
  const other = await startMlflow(context);
  let reply: [number, Record<string, string>, string] = [200, {}, '<html>welcome</html>'];
  const server = createServer((_, response) => void response.writeHead(reply[0], reply[1]).end(reply[2]));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => void server.close().closeAllConnections());
  const store = openTracking(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, pauses().options);
  await assert.rejects(store.experiment('e'), /the answer is not that of an MLflow server/);
  reply = [302, { location: other.url }, ''];
  await assert.rejects(store.experiment('e'), /it answers with another address/);
  assert.deepEqual(other.calls, []);
  reply = [404, {}, 'Not Found'];
  await assert.rejects(store.experiment('e'), /there is no MLflow REST API 2\.0/);
  reply = [200, {}, 'x'.repeat(5 * 1024 * 1024)];
  await assert.rejects(store.experiment('e'), /longer than/);
});

test('nobody there: one line, and the signal ends the tries', async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const url = `http://127.0.0.1:${port}`;
  await assert.rejects(
    openTracking(url, pauses().options).experiment('e'),
    /MLflow at .*ECONNREFUSED.*is the server there\?/,
  );
  const stop = new AbortController();
  const wait = async (): Promise<void> => stop.abort();
  await assert.rejects(openTracking(url, { wait, signal: stop.signal }).experiment('e'), { name: 'AbortError' });
});
