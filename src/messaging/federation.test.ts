/** @file A federation from the invitation to the revocation, with a real nats-server. */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createUser } from '@nats-io/nkeys';
import { federationFolder } from '../workspace/index.ts';
import { openFederation } from './federation.ts';
import { readInvitation } from './invitation.ts';
import { joinRequest } from './join-messages.ts';
import { newSigningKey } from './keys.ts';
import { hasMembership, joinFederation } from './membership.ts';
import { seal } from './seal.ts';
import { joinSubject } from './subjects.ts';
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
    t.after(() => Promise.all([connection.close(), otherConnection.close()]));
    assert.deepEqual(await federation.revoke(compute, 'test'), { cut: true });
    await connection.closed();
    // Who is not revoked stays connected, also when told of anew.
    await federation.publishAccounts();
    await otherConnection.flush();
    await otherConnection.close();
    await restart();
    await assert.rejects(membership.connect('again', { waitMs: 5_000 }), /refuses these credentials/);
    const orchestrator = await federation.connect('orchestrator');
    t.after(() => orchestrator.close());
    const joins = federation.answerJoins(orchestrator);
    const again = await joinFederation(home, (await federation.invite(compute)).line);
    assert.notEqual(again.fingerprint, membership.fingerprint);
    await (await again.connect('again')).close();
    await joins.close();
    await orchestrator.close();
  },
);

test('an invitation works once, and what is sent to join has no private key', options, async (t) => {
  const { federation, folder } = await startFederation(t, { silos: 1, joined: 0 });
  const { line } = await federation.invite('silo0-01');
  const orchestrator = await federation.connect('orchestrator');
  t.after(() => orchestrator.close());
  const joins = federation.answerJoins(orchestrator);
  const requests: string[] = [];
  orchestrator.subscribe(joinSubject('*'), { callback: (_error, message) => void requests.push(message.string()) });
  const first = await joinFederation(join(folder, 'a'), line);
  assert.equal((await joinFederation(join(folder, 'a'), line)).fingerprint, first.fingerprint);
  await assert.rejects(joinFederation(join(folder, 'b'), line), /used already, with other keys/);
  assert.equal(requests.length, 2);
  // No private part was in them: of the NKey, of the signing key.
  const seed = (await readFile(join(folder, 'a', 'membership', 'user.nk'), 'utf8')).trim();
  const { d } = first.signingKey.export({ format: 'jwk' });
  for (const secret of [seed, d!]) assert.ok(secret.length > 40 && !requests.join().includes(secret));
  await joins.close();
  await orchestrator.close();
});

test('a revocation that nats-server missed holds from its next start on', options, async (t) => {
  const { federation, hospitals, server, restart } = await startFederation(t, { silos: 1 });
  const { compute, membership } = hospitals[0]!;
  await server().stop();
  const { cut, problem } = await federation.revoke(compute, 'test');
  assert.equal(cut, false);
  assert.match(problem!, /no connection within 5 s/);
  await restart();
  await assert.rejects(membership.connect('late', { waitMs: 5_000 }), /refuses these credentials/);
  // Said again, it is told to the server as well.
  assert.deepEqual(await federation.revoke(compute, 'test'), { cut: true });
});

test('an invitation ends: by its time, by a newer one, by a revocation', options, async (t) => {
  const { federation, folder, home, workspaceName } = await startFederation(t, { silos: 1, joined: 0 });
  const orchestrator = await federation.connect('orchestrator');
  t.after(() => orchestrator.close());
  const joins = federation.answerJoins(orchestrator);
  const [older, newer] = [await federation.invite('silo0-01'), await federation.invite('silo0-01')];
  await assert.rejects(joinFederation(join(folder, 'a'), older.line), /not valid any more/);
  await federation.revoke('silo0-01', 'test');
  await assert.rejects(joinFederation(join(folder, 'a'), newer.line), /not valid any more/);
  await joins.close();

  // The orchestrator's clock says that two days have gone.
  const later = new Date(Date.now() + 49 * 3_600_000);
  const late = await openFederation(home, workspaceName, () => later);
  const lateJoins = late.answerJoins(orchestrator);
  const { line } = await federation.invite('silo0-01');
  await assert.rejects(joinFederation(join(folder, 'a'), line), /expired at/);
  // And the hospital's own.
  await assert.rejects(joinFederation(join(folder, 'b'), line, { now: () => later }), /expired/);
  await lateJoins.close();
  await orchestrator.close();
});

test('keys that are not proven, and answers of others, count for nothing', options, async (t) => {
  const { federation, folder } = await startFederation(t, { silos: 1, joined: 0 });
  const orchestrator = await federation.connect('orchestrator');
  t.after(() => orchestrator.close());
  const problems: string[] = [];
  const joins = federation.answerJoins(orchestrator, { onProblem: (text) => void problems.push(text) });
  const { line } = await federation.invite('silo0-01');
  const { id } = readInvitation(line);
  const ask = async (bytes: Uint8Array): Promise<string> =>
    (await orchestrator.request(joinSubject(id), bytes, { timeout: 5_000 })).string();
  const own = newSigningKey();
  const [user, other] = [createUser(), createUser()];
  // Somebody else's NKey, named but not proven.
  const claimed = { ...user, getPublicKey: () => other.getPublicKey(), sign: (data: Uint8Array) => user.sign(data) };
  assert.match(await ask(joinRequest(id, 'silo0-01', claimed as typeof user, own)), /its NKey did not sign it/);
  // Signatures of another length than any has.
  for (const bytes of [0, 3, 63, 65]) {
    const short = { ...user, getPublicKey: () => user.getPublicKey(), sign: () => new Uint8Array(bytes) };
    assert.match(await ask(joinRequest(id, 'silo0-01', short as typeof user, own)), /its NKey did not sign it/);
  }
  assert.match(await ask(joinRequest('0'.repeat(32), 'silo0-01', user, own)), /it is for another invitation/);
  assert.match(await ask(joinRequest(id, 'silo1-01', user, own)), /not valid any more/);
  assert.match(await ask(Buffer.from('{}')), /it is not one/);
  assert.match(await ask(new Uint8Array(1_000_000)), /at most 16384/);
  // What goes wrong here is said here, and ends nothing.
  const file = join(federationFolder(join(folder, 'orchestrator'), federation.workspaceName), 'silos', 'silo0-01.json');
  await rename(file, `${file}.away`);
  await mkdir(file);
  assert.match(
    await ask(joinRequest(id, 'silo0-01', user, own)),
    /the orchestrator could not answer; its log says why/,
  );
  assert.match(problems.join(), /EISDIR/);
  await rm(file, { recursive: true });
  await rename(`${file}.away`, file);
  // The same keys are answered again: the first answer may have been lost.
  const request = joinRequest(id, 'silo0-01', user, own);
  const answered = await ask(request);
  assert.match(answered, /joined/);
  assert.equal(await ask(request), answered);
  await joins.close();

  // A server that answers in the orchestrator's place.
  const answer = { kind: 'joined', invitation: id, userKey: 'x', jwt: 'x', fingerprint: 'x' };
  const false_ = orchestrator.subscribe(joinSubject(id), {
    callback: (_error, message) => void message.respond(seal(answer, own)),
  });
  await orchestrator.flush();
  await assert.rejects(joinFederation(join(folder, 'a'), line), /its signature does not fit/);
  assert.equal(await hasMembership(join(folder, 'a')), false);
  false_.unsubscribe();
  await orchestrator.close();
});

test('a hospital that joined while the clock was ahead is cut off all the same', options, async (t) => {
  const { federation, home, hospitals } = await startFederation(t, { silos: 1 });
  const [{ membership }] = hospitals as [(typeof hospitals)[number]];
  const setBack = await openFederation(home, federation.workspaceName, () => new Date(Date.now() - 3_600_000));
  assert.deepEqual(await setBack.revoke('silo0-01', 'test'), { cut: true });
  await assert.rejects(membership.connect('test', { waitMs: 2_000 }), { name: 'FedradError' });
});
