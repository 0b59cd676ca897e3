import assert from 'node:assert/strict';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { provisionWorkspace } from './provision.ts';
import { filesHolding, runProcess, temporaryHome } from './testing.ts';
import { signedInUser } from './user.ts';
import { openVault } from './workspace.ts';

async function freshVault(t: TestContext) {
  const home = await temporaryHome(t);
  const { computes } = await provisionWorkspace(home);
  const [user, vault] = [await signedInUser(home), await openVault(home, 'kv-fldemo')];
  const silo = computes.find(({ role }) => role === 'silo')!.identity;
  const orchestrator = computes.find(({ role }) => role === 'orchestrator')!.identity;
  return { home, folder: join(home, 'workspaces', 'aml-fldemo', 'vault'), vault, user: user.id, silo, orchestrator };
}

test('the way of the seed: a policy for oneself, two secrets, and a silo reads them', async (t) => {
  const { vault, user, silo, orchestrator } = await freshVault(t);
  await assert.rejects(vault.setSecret('kagglekey', 'k', user), {
    message:
      `key vault "kv-fldemo": ${user} has no permission to set secrets ` +
      `(fedrad keyvault set-policy -n kv-fldemo --secret-permissions set --object-id ${user})`,
  });
  await vault.setPolicy(user, ['list', 'set', 'delete']);
  await vault.setSecret('kaggleusername', 'ada', user);
  await vault.setSecret('kagglekey', 'k3y-✓', user);
  assert.equal((await vault.getSecret('kagglekey', silo)).reveal(), 'k3y-✓');
  assert.equal((await vault.getSecret('KaggleUserName', silo)).reveal(), 'ada');
  await assert.rejects(
    vault.getSecret('kagglekey', user),
    /has no permission to get secrets \(.* --secret-permissions get list set delete --object-id/,
  );
  await assert.rejects(vault.getSecret('kagglekey', orchestrator), /has no permission to get secrets/);
  await assert.rejects(vault.setSecret('kagglekey', 'other', silo), /has no permission to set secrets/);
  await assert.rejects(vault.deleteSecret('kagglekey', silo), /has no permission to delete secrets/);
  assert.deepEqual(
    (await vault.listSecrets(user)).map(({ name }) => name),
    ['kagglekey', 'kaggleusername'],
  );
  await vault.deleteSecret('kagglekey', user);
  await assert.rejects(
    vault.getSecret('kagglekey', silo),
    /no secret "kagglekey" \(fedrad keyvault secret list --vault-name \S+; fedrad keyvault secret set --name kagglekey/,
  );
  await assert.rejects(vault.getSecret('constructor', silo), /no secret "constructor"/);
});

test('a policy is replaced, not extended; an empty one is removed', async (t) => {
  const { vault, user } = await freshVault(t);
  assert.deepEqual(await vault.setPolicy(user.toUpperCase(), ['set', 'get', 'set']), {
    objectId: user,
    secretPermissions: ['get', 'set'],
  });
  await vault.setPolicy(user, ['list']);
  await assert.rejects(vault.setSecret('a', 'b', user), /no permission to set/);
  await vault.setPolicy(user, []);
  assert.equal((await vault.policies()).length, 3);
  await assert.rejects(vault.setPolicy('ada', ['get']), /expected an object id \(a UUID\), got "ada"/);
  await assert.rejects(
    vault.setPolicy(user, ['purge' as 'get']),
    /no secret permission "purge" \(use some of get, list, set, delete\)/,
  );
});

test('the value is nowhere on the disk in clear, nor in anything printed', async (t) => {
  const { home, vault, user } = await freshVault(t);
  const value = 'correct-horse-battery-staple';
  await vault.setPolicy(user, ['get', 'set', 'list']);
  await vault.setSecret('kagglekey', value, user);
  assert.deepEqual(await filesHolding(home, value), []);
  assert.deepEqual(await filesHolding(home, Buffer.from(value).toString('base64')), []);
  assert.deepEqual(await filesHolding(home, 'kagglekey'), [join('workspaces', 'aml-fldemo', 'vault', 'vault.json')]);
  const secret = await vault.getSecret('kagglekey', user);
  for (const printed of [
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }, { showHidden: true, depth: 9 }),
  ]) {
    assert.match(printed, /\[secret\]/);
    assert.ok(!printed.includes(value));
  }
  await assert.rejects(vault.setSecret(`${value}!`, 'x', user), (error: Error) => !error.message.includes(value));
  assert.ok(!JSON.stringify(await vault.listSecrets(user)).includes(value));
});

test('key and vault are readable by their owner only; every write has its own nonce', async (t) => {
  const { folder, vault, user } = await freshVault(t);
  await vault.setPolicy(user, ['set']);
  const nonces = new Set<string>();
  for (let write = 0; write < 3; write++) {
    await vault.setSecret('a', 'same value', user);
    const { content } = JSON.parse(await readFile(join(folder, 'vault.json'), 'utf8'));
    nonces.add(content.secrets.a.nonce).add(content.secrets.a.sealed);
  }
  assert.equal(nonces.size, 6);
  for (const file of ['key', 'vault.json']) assert.equal((await stat(join(folder, file))).mode & 0o777, 0o600);
  assert.equal((await stat(join(folder, 'key'))).size, 32);
});

test('names and sizes are those of Azure', async (t) => {
  const { vault, user } = await freshVault(t);
  await vault.setPolicy(user, ['get', 'set']);
  await vault.setSecret('a'.repeat(127), 'é'.repeat(12_800), user);
  assert.equal((await vault.getSecret('A'.repeat(127), user)).reveal().length, 12_800);
  await assert.rejects(vault.setSecret('a', `${'é'.repeat(12_800)}x`, user), /at most 25600 bytes, got 25601/);
  for (const name of ['', 'a'.repeat(128), 'a_b', 'a b', 'a\n', '../a', 'é']) {
    await assert.rejects(vault.setSecret(name, 'x', user), /a secret name has 1 to 127 letters, digits and hyphens/);
  }
  await assert.rejects(vault.setSecret('a', '', user), /expected a value, got nothing/);
});

test('processes that set secrets at once lose none', async (t) => {
  const { home, vault, user } = await freshVault(t);
  await vault.setPolicy(user, ['get', 'list', 'set']);
  const setFive = `
    const vault = await room.openVault(args[0], 'kv-fldemo');
    const user = await room.signedInUser(args[0]);
    await Promise.all([0, 1, 2, 3, 4].map((i) => vault.setSecret(args[1] + i, args[1] + i, user.id)));`;
  await Promise.all(['a', 'b', 'c'].map((prefix) => runProcess(setFive, home, prefix)));
  const names = (await vault.listSecrets(user)).map(({ name }) => name);
  assert.equal(names.length, 15);
  for (const name of names) assert.equal((await vault.getSecret(name, user)).reveal(), name);
});

test('whatever is changed behind its back is noticed, and then nothing is used', async (t) => {
  const { folder, vault, user, silo } = await freshVault(t);
  await vault.setPolicy(user, ['set']);
  await vault.setSecret('a', 'value of a', user);
  await vault.setSecret('b', 'value of b', user);
  const [path, keyPath] = [join(folder, 'vault.json'), join(folder, 'key')];
  const [text, key] = [await readFile(path, 'utf8'), await readFile(keyPath)];
  const file = () => JSON.parse(text);
  const swapped = file();
  [swapped.content.secrets.a, swapped.content.secrets.b] = [swapped.content.secrets.b, swapped.content.secrets.a];
  const granted = file();
  granted.content.policies.push({ objectId: crypto.randomUUID(), secretPermissions: ['get'] });
  const aged = file();
  aged.content.secrets.a.updatedAt = '2020-01-01T00:00:00.000Z';
  const { a: _a, ...withoutA } = file().content.secrets;
  const removed = { ...file(), content: { ...file().content, secrets: withoutA } };
  for (const tampered of [swapped, granted, aged, removed]) {
    await writeFile(path, JSON.stringify(tampered));
    await assert.rejects(vault.getSecret('b', silo), /was changed by something other than fedrad.*restore the folder/);
    await assert.rejects(vault.setSecret('c', 'x', user), /was changed by something other than fedrad/);
  }
  for (const damaged of ['', text.slice(0, -20), '{}']) {
    await writeFile(path, damaged);
    await assert.rejects(vault.getSecret('a', silo), /vault.json: it is damaged/);
  }
  await writeFile(path, text);
  await chmod(keyPath, 0o600);
  for (const other of [Buffer.alloc(32), key.subarray(1)]) {
    await writeFile(keyPath, other);
    await assert.rejects(vault.getSecret('a', silo), /^FedradError: key vault "kv-fldemo": .*key/);
  }
  await writeFile(keyPath, key);
  assert.equal((await vault.getSecret('a', silo)).reveal(), 'value of a');
});

test('times are of the first and the latest set', async (t) => {
  const { vault, user } = await freshVault(t);
  await vault.setPolicy(user, ['set', 'list']);
  const first = await vault.setSecret('a', '1', user);
  const second = await vault.setSecret('a', '2', user);
  assert.equal(second.createdAt, first.createdAt);
  assert.ok(second.updatedAt >= first.updatedAt);
  assert.deepEqual(await vault.listSecrets(user), [second]);
});
