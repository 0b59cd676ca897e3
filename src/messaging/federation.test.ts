/** @file A federation from the invitation to the revocation, with a real nats-server. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { joinFederation } from './membership.ts';
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

test(
  'a revoked hospital is cut off at once, stays so after a restart, and can join anew with other keys',
  options,
  async (t) => {
    const { federation, hospitals, restart } = await startFederation(t, { silos: 2 });
    const [{ compute, home, membership }, other] = [hospitals[0]!, hospitals[1]!];
    const connection = await membership.connect('live');
    const otherConnection = await other.membership.connect('other');
    assert.deepEqual(await federation.revoke(compute, 'test'), { cut: true });
    await connection.closed();
    await otherConnection.flush();
    await otherConnection.close();
    await restart();
    await assert.rejects(membership.connect('again', { waitMs: 5_000 }), /refuses these credentials/);
    const orchestrator = await federation.connect('orchestrator');
    const joins = federation.answerJoins(orchestrator);
    const again = await joinFederation(home, (await federation.invite(compute)).line);
    assert.notEqual(again.fingerprint, membership.fingerprint);
    await (await again.connect('again')).close();
    await joins.close();
    await orchestrator.close();
  },
);

test('an invitation works once: the same keys are answered again, others are not', options, async (t) => {
  const { federation, folder } = await startFederation(t, { silos: 1, joined: 0 });
  const { line } = await federation.invite('silo0-01');
  const orchestrator = await federation.connect('orchestrator');
  const joins = federation.answerJoins(orchestrator);
  const first = await joinFederation(join(folder, 'a'), line);
  assert.equal((await joinFederation(join(folder, 'a'), line)).fingerprint, first.fingerprint);
  await assert.rejects(joinFederation(join(folder, 'b'), line), /used already, with other keys/);
  await joins.close();
  await orchestrator.close();
});
