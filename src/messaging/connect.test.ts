/** @file A hospital behind an HTTP proxy: NATS over a WebSocket, through CONNECT, with the federation's own authority. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createUser } from '@nats-io/nkeys';
import { connectMessaging } from './connect.ts';
import { joinFederation } from './membership.ts';
import { skipWithoutNats, startFederation, startProxy } from './testing.ts';

test('joins and connects by WebSocket through a proxy', { skip: skipWithoutNats }, async (t) => {
  const { federation, folder, websocketUrl } = await startFederation(t, { silos: 1, joined: 0, host: 'localhost' });
  const { url: proxy, asked } = await startProxy(t);
  const orchestrator = await federation.connect('orchestrator');
  const joins = federation.answerJoins(orchestrator);
  const { line } = await federation.invite('silo0-01');
  const membership = await joinFederation(join(folder, 'home'), line, {
    ...{ proxy, waitMs: 15_000 },
  });
  const connection = await membership.connect('by proxy', { waitMs: 15_000 });
  await connection.flush();
  await connection.close();
  // The hospital's proxy has moved: the same line again, with the new one, is enough.
  const moved = await joinFederation(join(folder, 'home'), line, { proxy: 'http://127.0.0.1:1' });
  await assert.rejects(moved.connect('by proxy', { waitMs: 500 }), /through the proxy 127\.0\.0\.1:1: no connection/);
  await joins.close();
  await orchestrator.close();
  assert.deepEqual(new Set(asked), new Set([new URL(websocketUrl).host]));
});

test('a proxy that does not answer is named, without its password', async () => {
  const refused = connectMessaging({
    ...{ url: 'tls://fl.example.org:4222', websocketUrl: 'wss://fl.example.org:8443', name: 'test', waitMs: 500 },
    environment: { HTTPS_PROXY: 'http://user:secret@127.0.0.1:1' },
    credentials: { jwt: 'none', seed: createUser().getSeed() },
  });
  await assert.rejects(refused, ({ message }: Error) => {
    assert.match(
      message,
      /^wss:\/\/fl\.example\.org:8443 through the proxy 127\.0\.0\.1:1: no connection within 0\.5 s/,
    );
    assert.doesNotMatch(message, /secret/);
    return true;
  });
});
