/**
 * @file `fedrad keyvault` and `fedrad account show` on Azure, as a user types them, against the stand-in for Key Vault: the seed's steps, then
 * what goes wrong, in one line each. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Cli, openCli } from '../cli.ts';
import { keyVaultApi, newVault, policyFor } from './keyvault.ts';
import { CALLER, startStandIn } from './stand-in.ts';

const SUBSCRIPTION = '44444444-4444-4444-8444-444444444444';
const OTHER = '55555555-5555-4555-8555-555555555555';
const VALUE = 'a-value-that-must-not-leak';

async function withVault(context: TestContext) {
  const apis: Parameters<typeof startStandIn>[1] & unknown[] = [];
  const standIn = await startStandIn(context, apis);
  const place = { subscription: SUBSCRIPTION, group: 'rg-fldemo' };
  const vault = newVault({ ...place, name: 'kv-cloud', url: await standIn.anotherUrl() });
  apis.push(keyVaultApi([vault], () => standIn.url));
  const endpoints = {
    resourceManager: standIn.url,
    vault: {
      'kv-cloud': vault.url,
      'kv-nowhere': 'https://kv-nowhere.invalid',
      'kv-fldem': 'https://kv-fldem.invalid',
    },
  };
  const environment = {
    ...standIn.environment,
    FEDRAD_AZURE_ENDPOINTS: JSON.stringify(endpoints),
    AZURE_SUBSCRIPTION_ID: SUBSCRIPTION,
    AZURE_LOG_LEVEL: 'error',
  };
  const cli = await openCli(context, environment);
  return { cli, vault, standIn, environment };
}

const secret = (cli: Cli, verb: string, ...more: string[]) =>
  cli.ok('keyvault', 'secret', verb, '--vault-name', 'kv-cloud', ...more);
const secretFails = (cli: Cli, verb: string, ...more: string[]) =>
  cli.fails('keyvault', 'secret', verb, '--vault-name', 'kv-cloud', ...more);
const setPolicy = (id: string, ...permissions: string[]) => [
  ...['keyvault', 'set-policy', '-n', 'kv-cloud', '--secret-permissions', ...permissions, '--object-id', id],
];

test('the way of the seed, on Azure: who am I, a policy, two secrets, and one less', async (context) => {
  const { cli, vault, standIn } = await withVault(context);
  const id = (await cli.ok('account', 'show', '--query', 'id', '--target', 'azure')).trim();
  assert.equal(id, `"${CALLER.objectId}"`);
  assert.equal(JSON.parse(await cli.ok('account', 'show', '--target', 'azure')).displayName, 'stand-in');
  vault.policies = [policyFor(OTHER, 'get'), { ...policyFor(CALLER.objectId, 'purge'), applicationId: OTHER }];
  const others = [...vault.policies];
  assert.match(await cli.ok(...setPolicy(id, 'list', 'set', 'delete')), /may now list, set, delete/);
  assert.deepEqual(vault.policies, [...others, policyFor(CALLER.objectId, 'list', 'set', 'delete')]);

  // Azure is busy, and fails: each is tried again.
  standIn.faults.push({ match: /^PUT \/secrets\//, status: 429, times: 1 });
  assert.match(await secret(cli, 'set', '--name', 'kaggleusername', '--value', 'ada'), /secret kaggleusername is set/);
  assert.equal(standIn.faults[0]!.times, 0);
  const piped = ['keyvault', 'secret', 'set', '--vault-name', vaultUrl, '--name', 'kagglekey', '--json'];
  const set = await cli.run(piped, `${VALUE}\n`);
  assert.equal(set.code, 0, set.stderr);
  assert.equal(vault.secrets.get('kagglekey')!.versions[0]!.value, VALUE);
  assert.ok(!`${set.stdout}${set.stderr}`.includes(VALUE));
  await secret(cli, 'set', '--name', 'another', '--value', 'x');
  const listed = JSON.parse(await secret(cli, 'list', '--json')) as { name: string; updatedAt: string }[];
  assert.deepEqual(
    listed.map(({ name }) => name),
    ['another', 'kagglekey', 'kaggleusername'],
  );
  assert.match(listed[0]!.updatedAt, /^20\d\d-.*Z$/);
  assert.match(
    await secretFails(cli, 'show', '--name', 'kagglekey'),
    new RegExp(
      `key vault "kv-cloud": ${CALLER.objectId} has no permission to get secrets \\(fedrad keyvault set-policy -n kv-cloud --secret-permissions get --object-id ${CALLER.objectId}, with`,
    ),
  );
  assert.match(await secret(cli, 'delete', '--name', 'another'), /is deleted/);
  assert.match(await secretFails(cli, 'delete', '--name', 'another'), /no secret "another"/);
  assert.match(
    await secretFails(cli, 'set', '--name', 'another', '--value', VALUE),
    /was deleted, and the vault keeps/,
  );
  await cli.ok(...setPolicy(CALLER.objectId, 'get'));
  assert.equal((await secret(cli, 'show', '--name', 'KAGGLEKEY')).trim(), VALUE);
  assert.match(await secretFails(cli, 'show', '--name', 'nothing'), /no secret "nothing"/);
});

const vaultUrl = 'https://kv-cloud.vault.azure.net/';

test("a policy keeps the identity's other permissions, and goes when nothing is left", async (context) => {
  const { cli, vault } = await withVault(context);
  const keys = { ...policyFor(OTHER, 'Get', 'Recover'), permissions: { keys: ['Sign'], secrets: ['Get'] } };
  vault.policies = [keys];
  await cli.ok(...setPolicy(OTHER, 'recover', 'all'), '--resource-group', 'rg-fldemo');
  assert.deepEqual(vault.policies[0]!.permissions, { keys: ['Sign'], secrets: ['recover', 'all'] });
  await cli.ok(...setPolicy(OTHER, 'none'));
  assert.deepEqual(vault.policies[0]!.permissions, { keys: ['Sign'], secrets: [] });
  vault.policies = [policyFor(OTHER, 'Get')];
  assert.match(await cli.ok(...setPolicy(OTHER, 'none')), /may now do nothing/);
  assert.deepEqual(vault.policies, []);
  await cli.ok(...setPolicy(OTHER, 'none'));
});

test('a vault with roles is recognised, and the role is named', async (context) => {
  const { cli, vault } = await withVault(context);
  vault.rbac = true;
  assert.match(
    await cli.fails(...setPolicy(OTHER, 'set')),
    /goes by roles \(RBAC\).*az role assignment create --role "Key Vault Secrets Officer" --assignee 5{8}-.* --scope \/subscriptions\/.*\/vaults\/kv-cloud\)/,
  );
  assert.match(
    await secretFails(cli, 'list'),
    /has no role to list secrets \(az role assignment create --role "Key Vault Secrets User" --assignee 2{8}-[\d-]+ --scope \S+\/vaults\/kv-cloud;/,
  );
  assert.match(
    await secretFails(cli, 'set', '--name', 'a', '--value', VALUE),
    /"Key Vault Secrets Officer" .*\/vaults\/kv-cloud;/,
  );
});

test('what goes wrong is said in one line, without a value', async (context) => {
  const { cli, vault, environment } = await withVault(context);
  const denied = await secretFails(cli, 'set', '--name', 'kagglekey', '--value', VALUE);
  assert.match(
    denied,
    /no permission to set secrets \(fedrad keyvault set-policy -n kv-cloud --secret-permissions set /,
  );
  assert.ok(!denied.includes(VALUE));
  const expired = await openCli(context, { ...environment, AZURE_CLIENT_SECRET: 'old' });
  for (const line of [
    await secretFails(expired, 'list'),
    await expired.fails(...setPolicy(OTHER, 'get')),
    await expired.fails('account', 'show', '--target', 'azure'),
  ])
    assert.match(line, /the sign-in to Azure is missing or has expired \(az login/);
  const list = ['keyvault', 'secret', 'list', '--vault-name'];
  assert.match(
    await cli.fails(...list, 'kv-nowhere'),
    /none answers at kv-nowhere\.invalid, and this home has none of that name \(fedrad workspace show .*az keyvault list/,
  );
  assert.match(await cli.fails(...list, 'kv-nowhere', '--target', 'azure'), /none answers at kv-nowhere\.invalid \(/);
  assert.match(await cli.fails(...list, 'kv-cloud', '--target', 'local'), /no key vault "kv-cloud"/);
  assert.match(
    await cli.fails(...list, 'https://kv.example.org'),
    /expected a name .*got "https:\/\/kv\.example\.org"/,
  );
  await cli.ok('provision');
  assert.match(await cli.fails(...list, 'kv-fldem'), /none of that name; did you mean kv-fldemo\?/);
  // The home's own vault comes first.
  assert.match(await cli.fails(...list, 'kv-fldemo'), /no permission to list secrets/);

  const policy = setPolicy(OTHER, 'get');
  assert.match(
    await cli.fails(...policy, '--subscription', SUBSCRIPTION.replaceAll('4', '6')),
    /Azure knows no such subscription/,
  );
  assert.match(await cli.fails(...policy, '--subscription', 'mine'), /expected the id of a subscription, got "mine"/);
  assert.match(
    await cli.fails(...policy.map((word) => (word === 'get' ? 'read' : word))),
    /no secret permission "read"/,
  );
  assert.match(
    await cli.fails(...policy.map((word) => (word === 'kv-cloud' ? 'kv-clod' : word))),
    /did you mean kv-cl/,
  );
  assert.match(await cli.fails(...setPolicy('me', 'get')), /expected an object id/);
  const without = await openCli(context, { ...environment, AZURE_SUBSCRIPTION_ID: '' });
  assert.match(await without.fails(...policy), /\(--subscription <id>, or AZURE_SUBSCRIPTION_ID; az account list\)/);
  assert.deepEqual(vault.policies, []);
});

test('secrets are lent over a pipe, and exit codes and signals are handed on', async (context) => {
  const { cli, vault } = await withVault(context);
  vault.policies = [policyFor(CALLER.objectId, 'get', 'set')];
  await secret(cli, 'set', '--name', 'kagglekey', '--value', VALUE);
  const lend = ['keyvault', 'lend', '--vault-name', 'kv-cloud', '--secret', 'kagglekey', '--'];
  const script = `process.stdin.once('data', (line) => {
    const { kagglekey } = JSON.parse(line);
    const seen = JSON.stringify([process.argv, process.env]).includes(kagglekey);
    console.log(kagglekey.length, seen, process.argv.at(-1));
    process.exit(7);
  })`;
  const { code, stdout } = await cli.run([...lend, process.execPath, '-e', script, '--', '--vault_name=x']);
  assert.deepEqual([code, stdout.trim()], [7, `${VALUE.length} false --vault_name=x`]);
  assert.match(await cli.fails(...lend, 'no-such-program'), /cannot run "no-such-program"/);
  assert.match(await cli.fails(...lend.with(5, 'other'), 'true'), /no secret "other"/);

  const waiting = cli.start([...lend, process.execPath, '-e', 'console.log("up"); process.stdin.resume()']);
  const ended = new Promise((resolve) => waiting.once('close', resolve));
  await new Promise((resolve) => waiting.stdout!.once('data', resolve));
  waiting.kill('SIGTERM');
  assert.equal(await ended, 128 + 15);
});
