/**
 * @file From an empty resource group to the report, by the commands of docs/azure.md, on one stand-in: what `fedrad provision` deploys is
 * what the other commands then find, and its roles decide what a silo's step may read. What the page does with `az` is one call of the same
 * API here. Nothing here was seen on Azure.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packageVersion } from '../../src/cli/package-version.ts';
import { openCli, pneumoniaConfig, uploadConfig } from '../cli.ts';
import { withoutAzurite } from './azurite.ts';
import { openDeployed } from './deployed.ts';
import { newSubscription, resourceManagerApi } from './resource-manager.ts';
import { type Api, accessToken, CALLER, startStandIn, TENANT } from './stand-in.ts';

const SUBSCRIPTION = '44444444-4444-4444-8444-444444444444';
const GROUP = `/subscriptions/${SUBSCRIPTION}/resourceGroups/rg-fldemo`;
const WORKSPACE = `${GROUP}/providers/Microsoft.MachineLearningServices/workspaces/aml-flfedrad`;
const PLACE = ['--resource_group', 'rg-fldemo', '--subscription_id', SUBSCRIPTION];
const ON_AZURE = ['--workspace_name', 'aml-flfedrad', ...PLACE, '--wait'];
const KEY = 'an-api-key';
const TINY = pneumoniaConfig()
  .replace('epochs: 2', 'epochs: 1')
  .replace('image_size: 32', 'image_size: 16')
  .replace('channels: [8, 8, 16]', 'channels: [8]');

test('an empty resource group, the commands of the page, and a report', { skip: withoutAzurite }, async (context) => {
  const subscription = newSubscription();
  const subscriptions = new Map([[SUBSCRIPTION, subscription]]);
  const apis: Api[] = [];
  const standIn = await startStandIn(context, apis);
  const manager = { tenantId: TENANT, subscriptions, takenNames: new Set<string>(), deletedVaults: new Set<string>() };
  apis.push(resourceManagerApi(manager, () => standIn.url));
  const environment = { ...standIn.environment, AZURE_SUBSCRIPTION_ID: SUBSCRIPTION };
  const cli = await openCli(context, environment);
  await cli.write('upload.yaml', uploadConfig('phantom:24'));
  await cli.write('config.yaml', TINY);
  const put = async (path: string, version: string, body: unknown): Promise<void> => {
    const headers = { authorization: `Bearer ${accessToken(standIn.url)}`, 'content-type': 'application/json' };
    const request = { method: 'PUT', headers, body: JSON.stringify(body) };
    const response = await fetch(`${standIn.url}${path}?api-version=${version}`, request);
    assert.equal(response.status, 201, await response.text());
  };

  // 1. az group create
  await put(GROUP, '2025-04-01', { location: 'eastus' });
  const group = subscription.groups.get('rg-fldemo')!;
  assert.equal(group.resources.size, 0);

  // 2. The workspace. Azure's storage and vaults answer under names of their own; here they are told where.
  const provision = [
    ...['provision', '--target', 'azure', ...PLACE, '--demo_base_name', 'flfedrad'],
    ...['--regions', 'eastus', 'westus', 'westeurope'],
  ];
  await cli.ok(...provision);
  const azure = await openDeployed(context, standIn, apis, SUBSCRIPTION, group);
  Object.assign(environment, azure.environment);
  assert.deepEqual(
    [...azure.workspace.computes].map(([name, { datastores }]) => [name, ...datastores.toSorted()]).toSorted(),
    [
      ['orchestrator-01', 'datastore_orchestrator'],
      ...[0, 1, 2].map((n) => [`silo${n}-01`, 'datastore_orchestrator', `datastore_silo${n}`]),
    ],
  );
  assert.equal(azure.workspace.datastores.get('datastore_silo1')!.account, 'stflfedradsilo1');

  // 3. Kaggle's credentials. Results are read without a role here: Azurite knows none.
  const me = (await cli.ok('account', 'show', '--query', 'id', '--target', 'azure', '--output', 'tsv')).trim();
  assert.equal(me, CALLER.objectId);
  const policy = ['keyvault', 'set-policy', '-n', 'kv-flfedrad', '--secret-permissions', 'list', 'set', 'delete'];
  await cli.ok(...policy, '--object-id', me);
  const set = ['keyvault', 'secret', 'set', '--vault-name', 'kv-flfedrad', '--name'];
  await cli.ok(...set, 'kaggleusername', '--value', 'ada');
  const asked = await cli.run([...set, 'kagglekey'], `${KEY}\n`);
  assert.equal(asked.code, 0, asked.stderr);
  const reads: [string, number][] = [];
  for (const [compute, objectId] of azure.identities) {
    const authorization = `Bearer ${accessToken('https://vault.azure.net', objectId)}`;
    const url = `${azure.vault.url}/secrets/kagglekey?api-version=2026-04-01`;
    reads.push([compute, (await fetch(url, { headers: { authorization } })).status]);
  }
  assert.deepEqual(reads.toSorted(), [
    ['orchestrator-01', 403],
    ['silo0-01', 200],
    ['silo1-01', 200],
    ['silo2-01', 200],
  ]);

  // 4. az ml environment create
  const upload = ['submit', 'upload-data', '--example', 'PNEUMONIA', '--config', 'upload.yaml', ...ON_AZURE];
  assert.match(await cli.fails(...upload), /workspace aml-flfedrad: it has no environment fedrad-cpu:/);
  const contextUri = 'https://stflfedrad.blob.core.windows.net/azureml/LocalUpload/fedrad-cpu/';
  await put(`${WORKSPACE}/environments/fedrad-cpu/versions/${packageVersion}`, '2022-10-01', {
    properties: { osType: 'Linux', isAnonymous: false, build: { contextUri, dockerfilePath: 'Dockerfile' } },
  });

  // 5 and 6.
  assert.match(
    await cli.ok(...upload),
    /^Next: fedrad submit pneumonia --workspace_name aml-flfedrad --resource_group .* --wait$/m,
  );
  await cli.ok('submit', 'pneumonia', '--config', 'config.yaml', ...ON_AZURE);
  const { evidence } = JSON.parse(await cli.ok('run', 'report', '--json')) as { evidence: { best: string } };
  assert.ok(evidence.best);

  // A silo that would read another's images is refused them: by the config, and where the config is wrong about a compute, by its roles.
  const [before, after] = TINY.split('name: silo1') as [string, string];
  const own = 'azureml://datastores/datastore_silo1/';
  await cli.write('config.yaml', `${before}name: silo1${after.replace(own, own.replace('silo1', 'silo0'))}`);
  const submit = ['submit', 'pneumonia', '--config', 'config.yaml', ...ON_AZURE];
  assert.match(await cli.fails(...submit), /silos\[1\]\.silo_data\.path: it lies in datastore_silo0/);
  const swapped: Record<string, string> = { 'silo1-01': 'silo2-01', 'silo2-01': 'silo1-01' };
  await cli.write(
    'config.yaml',
    TINY.replaceAll(/silo[12]-01/g, (compute) => swapped[compute]!),
  );
  const refused = await cli.run(submit);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /FAILED: silo1_preparation: the compute may not use datastore_silo1/);
  assert.match(refused.stderr, /; once mended: fedrad submit pneumonia --workspace_name aml-flfedrad /);

  // A second run changes nothing, and the policy that was added stays.
  const made = structuredClone(group.resources);
  await cli.ok(...provision);
  assert.deepEqual(group.resources, made);
  assert.equal(azure.vault.policies.length, 5);
});
