import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHealthAddress, startHealthServer } from './health-server.ts';

test('health, readiness and metrics', async (t) => {
  let ready: boolean | string = true;
  const registry = { contentType: 'text/plain; version=0.0.4', metrics: async () => 'fedrad_x 1\n' };
  const server = await startHealthServer({ host: '127.0.0.1', port: 0 }, { ready: () => ready, registry });
  t.after(() => server.close());
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return [response.status, await response.text()];
  };
  assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
  assert.deepEqual(await get('/readyz?verbose'), [200, 'ready\n']);
  ready = 'no connection';
  assert.deepEqual(await get('/readyz'), [503, 'no connection\n']);
  assert.deepEqual(await get('/metrics'), [200, 'fedrad_x 1\n']);
  assert.equal((await get('/x'))[0], 404);
  assert.equal((await get('/metrics', 'POST'))[0], 405);
  await assert.rejects(
    startHealthServer({ host: '127.0.0.1', port: server.port }, { ready: () => true, registry }),
    /EADDRINUSE/,
  );
});

test('addresses', () => {
  assert.deepEqual(parseHealthAddress('127.0.0.1:9465', '--http'), { host: '127.0.0.1', port: 9465 });
  assert.deepEqual(parseHealthAddress('[::1]:0', '--http'), { host: '::1', port: 0 });
  assert.deepEqual(parseHealthAddress('9465', '--http'), { host: '127.0.0.1', port: 9465 });
  assert.throws(() => parseHealthAddress('x', '--http'), /--http: expected <host>:<port>/);
  assert.throws(() => parseHealthAddress('x:99999', '--http'), /expected/);
});
