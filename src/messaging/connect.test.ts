/** @file A hospital behind an HTTP proxy: NATS over a WebSocket, through CONNECT, with the federation's own authority. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect as dial } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { joinFederation } from './membership.ts';
import { skipWithoutNats, startFederation } from './testing.ts';

test('joins and connects by WebSocket through a proxy', { skip: skipWithoutNats }, async (t) => {
  const { federation, folder, websocketUrl } = await startFederation(t, { silos: 1, joined: 0, host: 'localhost' });
  const asked: string[] = [];
  const proxy = createServer().on('connect', ({ url }, socket) => {
    asked.push(url ?? '');
    const [host, port] = (url ?? '').split(':');
    const upstream = dial(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('error', () => upstream.destroy());
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  t.after(() => proxy.close());
  const orchestrator = await federation.connect('orchestrator');
  const joins = federation.answerJoins(orchestrator);
  const { line } = await federation.invite('silo0-01');
  const membership = await joinFederation(join(folder, 'home'), line, {
    proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    waitMs: 15_000,
  });
  const connection = await membership.connect('by proxy', { waitMs: 15_000 });
  await connection.flush();
  await connection.close();
  await joins.close();
  await orchestrator.close();
  assert.deepEqual(new Set(asked), new Set([new URL(websocketUrl).host]));
});
