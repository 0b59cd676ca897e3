/** @file A federation from the invitation to the revocation, with a real nats-server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutNats, startFederation } from './testing.ts';

const options = { skip: skipWithoutNats };

test('three hospitals join, and both sides have the same fingerprint', options, async (t) => {
  const { federation, hospitals } = await startFederation(t);
  const silos = await federation.silos();
  assert.deepEqual(
    silos.map(({ compute, state, fingerprint }) => [compute, state, fingerprint]),
    hospitals.map(({ compute, membership }) => [compute, 'joined', membership.fingerprint]),
  );
  const connection = await hospitals[1]!.membership.connect('test');
  await connection.close();
});
