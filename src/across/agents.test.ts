import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kvm } from '@nats-io/kv';
import { AGENTS_BUCKET, type Heartbeat, seal } from '../messaging/index.ts';
import { skipWithoutNats, startFederation } from '../messaging/testing.ts';
import { lastHeartbeats } from './agents.ts';
import { prepareStreams } from './streams.ts';

test('a heartbeat under the key of an earlier membership hides no other hospital', {
  skip: skipWithoutNats,
}, async (t) => {
  const { federation, hospitals } = await startFederation(t, { silos: 2 });
  const nc = await federation.connect('test');
  t.after(() => nc.close());
  const [anew, other] = hospitals as [(typeof hospitals)[number], (typeof hospitals)[number]];
  const computes = [anew.compute, other.compute];
  await prepareStreams(nc, computes);
  const kv = await new Kvm(nc).open(AGENTS_BUCKET);
  // The first one's lies under a key that is not its own, as after it was revoked and joined again.
  for (const compute of computes) await kv.put(compute, seal(heartbeat(compute), other.membership.signingKey));
  assert.deepEqual([...(await lastHeartbeats(nc, federation, computes)).keys()], [other.compute]);
});

const heartbeat = (compute: string): Heartbeat => ({
  ...{ kind: 'heartbeat', compute, at: new Date().toISOString(), version: '0.1.0', kernels: 'WebAssembly' },
  ...{ sandbox: 'bubblewrap', cores: 1, state: 'ready', running: [] },
});
