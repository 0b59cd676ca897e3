/**
 * @file `fedrad provision --target azure` as a user runs it, against the stand-in for the resource manager, which reads and executes the
 * template: from an empty subscription to a workspace, a second time, what would change, and what Azure refuses. Nothing here was seen on
 * Azure.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cli, openCli } from '../cli.ts';
import {
  newSubscription,
  type ResourceManager,
  resourceManagerApi,
  type SubscriptionState,
} from './resource-manager.ts';
import { type StandIn, startStandIn, TENANT } from './stand-in.ts';

const SUBSCRIPTION = '44444444-4444-4444-8444-444444444444';
const PROVISION = [
  ...['provision', '--target', 'azure', '--resource_group', 'rg-fldemo', '--subscription_id', SUBSCRIPTION],
  ...['--regions', 'eastus', 'westus', 'westeurope'],
];

interface Azure {
  readonly cli: Cli;
  readonly standIn: StandIn;
  readonly manager: ResourceManager;
  readonly subscription: SubscriptionState;
}

async function openAzure(context: TestContext, environment: Record<string, string> = {}): Promise<Azure> {
  const subscription = newSubscription();
  const manager: ResourceManager = {
    tenantId: TENANT,
    subscriptions: new Map([[SUBSCRIPTION, subscription]]),
    takenNames: new Set(),
    deletedVaults: new Set(),
  };
  let url = '';
  const standIn = await startStandIn(context, [resourceManagerApi(manager, () => url)]);
  url = standIn.url;
  return { cli: await openCli(context, { ...standIn.environment, ...environment }), standIn, manager, subscription };
}

interface Provisioned {
  readonly keyVault: string;
  readonly computes: readonly string[];
  readonly resources: readonly { type: string; name: string }[];
}

/** A run that fails: what it printed on standard error, and the last line. */
async function failing({ cli }: Azure, ...more: string[]): Promise<{ all: string; last: string }> {
  const { code, stderr } = await cli.run([...PROVISION, ...more]);
  const last = stderr.trim().split('\n').at(-1)!;
  assert.equal(code, 1, stderr);
  assert.match(last, /^fedrad: (?!a defect)/);
  return { all: stderr, last };
}

test('an empty subscription becomes a workspace; a second run changes nothing and keeps what was added', async (context) => {
  const azure = await openAzure(context);
  const { cli, standIn, subscription } = azure;
  assert.match(
    await cli.ok(...PROVISION, '--what-if'),
    /rg-fldemo would be made in eastus[\s\S]*Create +Microsoft.KeyVault\/vaults +kv-fldemo/,
  );
  assert.equal(subscription.groups.size, 0);

  // Azure is busy, and fails, at times: each is tried again.
  standIn.faults.push(
    { match: /^PUT .*\/deployments\//, status: 503, times: 1 },
    { match: /^GET .*\/operations$/, status: 429, times: 1 },
  );
  const { code, stdout, stderr } = await cli.run([...PROVISION, '--json']);
  assert.equal(code, 0, stderr);
  const made = JSON.parse(stdout) as Provisioned;
  assert.equal(made.keyVault, 'kv-fldemo');
  assert.deepEqual(made.computes, ['orchestrator-01', 'silo0-01', 'silo1-01', 'silo2-01']);
  assert.match(stderr, /made +the resource group, in eastus/);
  assert.match(
    stderr,
    /finished +Microsoft.MachineLearningServices\/workspaces\/computes aml-fldemo\/silo2-01 +\(\d+\/34\)/,
  );
  assert.match(stderr, /\(34\/34\)/);
  assert.equal(made.resources.length, 34);

  const group = subscription.groups.get('rg-fldemo')!;
  const of = (type: string) => [...group.resources.values()].filter((each) => each.type === type);
  const vault = of('Microsoft.KeyVault/vaults')[0]!.value['properties'] as { accessPolicies: { objectId: string }[] };
  assert.equal(vault.accessPolicies.length, 4);
  const region = (name: string) =>
    of('Microsoft.Storage/storageAccounts').find(({ id }) => id.endsWith(name))?.location;
  assert.deepEqual(['orch', 'silo0', 'silo1', 'silo2'].map(region), ['eastus', 'eastus', 'westus', 'westeurope']);

  // As `az keyvault set-policy` does.
  vault.accessPolicies.push({ ...vault.accessPolicies[0]!, objectId: 'a user' });
  assert.match(await cli.ok(...PROVISION, '--what-if'), /NoChange +Microsoft.KeyVault\/vaults +kv-fldemo/);
  const before = structuredClone(group.resources);
  await cli.ok(...PROVISION);
  assert.deepEqual(group.resources, before);

  const changed = await cli.ok(...PROVISION, '--what-if', '--max-nodes', '4', '--gpu-size', 'Standard_NC6s_v3');
  assert.match(changed, /Modify .*aml-fldemo\/silo0-01 +properties.properties.scaleSettings.maxNodeCount/);
  assert.match(changed, /Create .*aml-fldemo\/silo0-02/);
  assert.match(changed, /NoChange +Microsoft.Storage\/storageAccounts +stfldemosilo1/);

  Object.assign(vault, { enableRbacAuthorization: true });
  group.resources.get(of('Microsoft.KeyVault/vaults')[0]!.id.toLowerCase())!.value['properties'] = vault;
  assert.match(await cli.fails(...PROVISION), /key vault kv-fldemo: .*RBAC.*--enable-rbac-authorization false/);
});

test('private networking is deployed in an order that its references allow', async (context) => {
  const { cli, subscription } = await openAzure(context);
  for (const [which, base] of [
    ['all', 'fl-one'],
    ['silos', 'fltwo'],
  ] as const) {
    await cli.ok(
      ...PROVISION,
      '--demo_base_name',
      base,
      '--private-networking',
      which,
      '--silos',
      '2',
      '--gpu-size',
      'Standard_NC6s_v3',
    );
  }
  const closed = [...subscription.groups.get('rg-fldemo')!.resources.values()].filter(
    ({ value }) => (value['properties'] as { publicNetworkAccess?: string })?.publicNetworkAccess === 'Disabled',
  );
  assert.deepEqual(closed.map(({ id }) => id.split('/').at(-1)).toSorted(), [
    'stfloneorch',
    'stflonesilo0',
    'stflonesilo1',
    'stfltwosilo0',
    'stfltwosilo1',
  ]);
});

test('Ctrl-C ends the looking; the next run follows the deployment that goes on', async (context) => {
  const { cli, subscription } = await openAzure(context);
  const child = cli.start(PROVISION);
  let said = '';
  child.stderr!.on('data', (chunk) => {
    if (!/finished/.test(said) && /finished/.test(String(chunk))) child.kill('SIGINT');
    said += chunk;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 130, said);
  assert.match(said, /Azure goes on with deployment fedrad-fldemo/);
  assert.equal(subscription.groups.get('rg-fldemo')!.deployments.get('fedrad-fldemo')!.state, 'Running');
  const { code: next, stderr } = await cli.run(PROVISION);
  assert.equal(next, 0, stderr);
  assert.match(stderr, /note: deployment fedrad-fldemo of an earlier run goes on[\s\S]*\(34\/34\)/);
});

test('an earlier deployment that fails is told, and does not stand in the way of this one', async (context) => {
  const { cli } = await openAzure(context);
  // More cores than the quota has.
  const child = cli.start([...PROVISION, '--max-nodes', '50']);
  let said = '';
  child.stderr!.on('data', (chunk) => {
    if (!/finished/.test(said) && /finished/.test(String(chunk))) child.kill('SIGINT');
    said += chunk;
  });
  assert.equal((await once(child, 'close'))[0], 130, said);
  const { code, stderr } = await cli.run(PROVISION);
  assert.equal(code, 0, stderr);
  assert.match(
    stderr,
    /failed .*: QuotaExceeded: [\s\S]*note: deployment fedrad-fldemo: .*; now this one\n[\s\S]*\(34\/34\)/,
  );
});

test('Ctrl-C before the deployment starts nothing', async (context) => {
  for (const during of [/\/register$/, /\/validate$/]) {
    const { cli, standIn, subscription } = await openAzure(context);
    // Azure answers this call at last; the client asks again for long.
    standIn.faults.push({ match: during, status: 503, times: 3 });
    const child = cli.start(PROVISION);
    let said = '';
    child.stderr!.on('data', (chunk) => {
      said += chunk;
    });
    const closed = once(child, 'close');
    for (let look = 0; look < 3_000 && !standIn.calls.some((call) => during.test(call)); look++) await sleep(10);
    child.kill('SIGINT');
    const [code] = await closed;
    assert.equal(code, 130, said);
    assert.match(said, /nothing was started/);
    assert.deepEqual([...subscription.groups.get('rg-fldemo')!.deployments], []);
    assert.ok(!standIn.calls.some((call) => /^PUT .*\/deployments\//.test(call)));
  }
});

test('what Azure refuses is shown resource by resource, each with what to do; the next run goes on', async (context) => {
  const azure = await openAzure(context);
  const { cli, manager, subscription } = azure;

  subscription.owner = false;
  const refused = await failing(azure);
  assert.match(
    refused.all,
    /failed +Microsoft.Authorization\/roleAssignments role on stfldemo\w+: InvalidTemplateDeployment/,
  );
  assert.match(
    refused.last,
    /az role assignment create --role Owner .*--scope \/subscriptions\/4{8}.*\/resourceGroups\/rg-fldemo/,
  );
  assert.equal(subscription.writes, 0);
  subscription.owner = true;

  manager.deletedVaults.add('kv-fldemo');
  subscription.coreQuota.set('westeurope', 8);
  manager.takenNames.add('stfldemosilo1');
  const failed = await failing(azure);
  assert.match(
    failed.all,
    /failed +Microsoft.KeyVault\/vaults kv-fldemo: ConflictError: .*\n +az keyvault recover --name kv-fldemo, or az keyvault purge/,
  );
  assert.match(
    failed.all,
    /failed .*storageAccounts stfldemosilo1: StorageAccountAlreadyTaken: .*\n.*another --demo_base_name/,
  );
  assert.match(failed.last, /deployment fedrad-fldemo: .*2 problems/);

  manager.deletedVaults.clear();
  manager.takenNames.clear();
  const short = await failing(azure);
  assert.match(short.all, /failed .*computes aml-fldemo\/silo2-01: QuotaExceeded: .*westeurope.*quota of 8/);
  assert.match(short.last, /aml-fldemo\/silo2-01: QuotaExceeded \(ask for more under Quotas/);
  await cli.ok(...PROVISION, '--max-nodes', '1');

  // Somebody deletes an identity; the one that is made in its place is another.
  const { resources } = subscription.groups.get('rg-fldemo')!;
  for (const id of resources.keys()) if (/userassignedidentities\/uai-fldemo-silo0$/.test(id)) resources.delete(id);
  const another = await failing(azure, '--max-nodes', '1');
  assert.match(another.all, /failed .*role on stfldemosilo0: RoleAssignmentUpdateNotPermitted: .*\n.*made anew/);
  const stale = [...another.all.matchAll(/az role assignment delete --ids (\S+), then/g)].map(([, id]) => id!);
  for (const id of new Set(stale)) assert.ok(resources.delete(id.toLowerCase()), id);
  await cli.ok(...PROVISION, '--max-nodes', '1');

  // Elsewhere than it is.
  const moved = await failing(azure, '--orchestrator-region', 'francecentral');
  assert.match(moved.all, /InvalidResourceLocation: .*\n.*it exists in another region/);
});

test('a wrong subscription, a secret that is no longer valid and bad options are one line each', async (context) => {
  const { cli } = await openAzure(context);
  const other = PROVISION.map((each) => (each === SUBSCRIPTION ? SUBSCRIPTION.replaceAll('4', '5') : each));
  assert.match(await cli.fails(...other), /Azure knows no such subscription.*az account list/);
  assert.match(await cli.fails('provision', '--target', 'azure', '--resource_group', 'rg'), /--subscription_id/);
  assert.match(await cli.fails(...PROVISION, '--resource_group', 'a/b'), /--resource_group/);
  assert.match(await cli.fails(...PROVISION, '--demo_base_name', 'Hospital'), /--demo_base_name.*lower-case/);
  assert.match(await cli.fails('provision', '--what-if'), /--what-if: .*--target azure/);
  const expired = await openAzure(context, { AZURE_CLIENT_SECRET: 'old' });
  assert.match(await expired.cli.fails(...PROVISION), /the sign-in to Azure is missing or has expired \(az login/);
});

test('a sign-in that expires meanwhile ends the looking; the next run follows the deployment', async (context) => {
  const azure = await openAzure(context);
  const { standIn, subscription, cli } = azure;
  standIn.faults.push({ match: /^GET .*\/deployments\/fedrad-fldemo\/operations$/, status: 401, times: 1 });
  const expired = await failing(azure);
  assert.match(
    expired.last,
    /sign-in to Azure is missing or has expired; deployment fedrad-fldemo goes on at Azure \(az login; then run the same command again/,
  );
  assert.doesNotMatch(expired.all, /note: .*sign-in/);
  assert.equal(subscription.groups.get('rg-fldemo')!.deployments.get('fedrad-fldemo')!.state, 'Running');
  const { code, stderr } = await cli.run(PROVISION);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /note: deployment fedrad-fldemo of an earlier run goes on[\s\S]*\(34\/34\)/);
});

test('tokens that run out meanwhile are renewed, and nobody is told', async (context) => {
  const { cli, standIn } = await openAzure(context);
  standIn.tokenSeconds = 2;
  const { code, stderr } = await cli.run(PROVISION);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /sign-in/);
  assert.ok(standIn.tokens.count > 1, String(standIn.tokens.count));
});

test('--offline writes what would be sent, and asks Azure nothing', async (context) => {
  const { cli, standIn } = await openAzure(context);
  const printed = await cli.ok('provision', '--target', 'azure', '--demo_base_name', 'trial', '--offline', 'out dir');
  assert.match(printed, /az deployment group create --name fedrad-trial .*main\.json/);
  const template = JSON.parse(await readFile(join(cli.folder, 'out dir', 'main.json'), 'utf8')) as {
    resources: unknown[];
  };
  assert.equal(template.resources.length, 34);
  assert.match(
    await readFile(join(cli.folder, 'out dir', 'main.bicep'), 'utf8'),
    /param demoBaseName string = 'trial'/,
  );
  assert.deepEqual(standIn.calls, []);
});
