import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hashContent } from './content-hash.ts';
import { provisionWorkspace } from './provision.ts';
import { runProcess, temporaryHome } from './testing.ts';
import { findCompute, findDatastore, openVault, openWorkspace } from './workspace.ts';

test('a fresh workspace has the names of the seed', async (t) => {
  const home = await temporaryHome(t);
  const { created, ...provisioned } = await provisionWorkspace(home);
  const { description, computes, datastores, vault } = await openWorkspace(home);
  assert.equal(created, true);
  assert.deepEqual(description, provisioned);
  assert.equal(description.workspaceName, 'aml-fldemo');
  assert.deepEqual([...computes.keys()], ['orchestrator-01', 'silo0-01', 'silo1-01', 'silo2-01']);
  assert.deepEqual(
    [...computes.values()].map(({ region }) => region),
    ['eastus', 'eastus', 'westus', 'westeurope'],
  );
  assert.deepEqual(
    [...datastores.keys()],
    ['datastore_orchestrator', 'datastore_silo0', 'datastore_silo1', 'datastore_silo2'],
  );
  assert.deepEqual(computes.get('silo1-01')?.datastores, ['datastore_silo1', 'datastore_orchestrator']);
  assert.deepEqual(computes.get('orchestrator-01')?.datastores, ['datastore_orchestrator']);
  assert.equal(new Set([...computes.values()].map(({ identity }) => identity)).size, 4);
  assert.equal(vault.name, 'kv-fldemo');
});

test('a fresh vault lets the silos get and list, and nobody else do anything', async (t) => {
  const home = await temporaryHome(t);
  const { computes } = await provisionWorkspace(home);
  const policies = await (await openVault(home, 'kv-fldemo')).policies();
  assert.deepEqual(
    policies,
    computes
      .filter(({ role }) => role === 'silo')
      .map(({ identity }) => ({ objectId: identity, secretPermissions: ['get', 'list'] })),
  );
});

test('a second provision changes nothing and says so; contradictions are refused', async (t) => {
  const home = await temporaryHome(t);
  const { created, ...first } = await provisionWorkspace(home, { resourceGroup: 'rg-demo' });
  const before = await hashContent(join(home, 'workspaces'));
  for (const options of [{}, { resourceGroup: 'RG-Demo' }, { siloCount: 3 }]) {
    assert.deepEqual(await provisionWorkspace(home, options), { ...first, created: false });
  }
  await assert.rejects(
    provisionWorkspace(home, { siloCount: 5 }),
    /workspace "aml-fldemo": exists with silos 3, asked for 5 \(leave the option out/,
  );
  await assert.rejects(provisionWorkspace(home, { subscriptionId: 's' }), /subscription id \(none\), asked for s/);
  await assert.rejects(
    provisionWorkspace(home, { workspaceName: 'second' }),
    /key vault "kv-fldemo" belongs to workspace "aml-fldemo" \(choose another base name/,
  );
  assert.deepEqual(await hashContent(join(home, 'workspaces')), before);
  assert.equal(created, true);
});

test('two processes that provision at once make one workspace', async (t) => {
  const home = await temporaryHome(t);
  const provision = 'console.log((await room.provisionWorkspace(args[0])).created)';
  const created = await Promise.all([provision, provision, provision].map((body) => runProcess(body, home)));
  assert.deepEqual(created.map((each) => each.trim()).sort(), ['false', 'false', 'true']);
  assert.deepEqual(await readdir(join(home, 'workspaces')), ['aml-fldemo']);
});

test('silos may be more than regions, and plans that Azure would refuse are refused', async (t) => {
  const home = await temporaryHome(t);
  const { computes } = await provisionWorkspace(home, { siloCount: 4, regions: ['northeurope', 'uksouth'] });
  assert.deepEqual(
    computes.map(({ region }) => region),
    ['northeurope', 'northeurope', 'uksouth', 'northeurope', 'uksouth'],
  );
  for (const [options, message] of [
    [{ workspaceName: '../up' }, /^FedradError: workspace name: expected/],
    [{ demoBaseName: 'a--b' }, /^FedradError: demo base name: expected/],
    [{ demoBaseName: 'a'.repeat(22) }, /^FedradError: demo base name: expected/],
    [{ siloCount: 2.5 }, /^FedradError: silo count: expected/],
    [{ regions: [] }, /^FedradError: regions: expected names such as westeurope, got none/],
  ] as const) {
    await assert.rejects(provisionWorkspace(home, { workspaceName: 'other', ...options }), message);
  }
});

test('names that do not exist are answered with the nearest and the next command', async (t) => {
  const home = await temporaryHome(t);
  await assert.rejects(
    openWorkspace(home, { workspaceName: 'aml-fldemo' }),
    /no workspace "aml-fldemo" \(fedrad provision\)/,
  );
  await assert.rejects(openVault(home, 'kv-fldemo'), /no key vault "kv-fldemo" \(fedrad provision\)/);
  assert.deepEqual(await readdir(join(home, '..')), [], 'asking makes no home');
  await provisionWorkspace(home, { subscriptionId: 'abc' });
  const workspace = await openWorkspace(home, { subscriptionId: 'ABC', resourceGroup: 'never recorded' });
  await assert.rejects(
    openWorkspace(home, { workspaceName: 'aml-fldem' }),
    /did you mean aml-fldemo\? \(fedrad workspace show\)/,
  );
  await assert.rejects(
    openWorkspace(home, { subscriptionId: 'abd' }),
    /workspace "aml-fldemo": its subscription id is abc, got abd/,
  );
  await assert.rejects(
    openVault(home, 'https://kv-flemo.vault.azure.net/'),
    /no key vault "kv-flemo"; did you mean kv-fldemo\?/,
  );
  assert.throws(() => findDatastore(workspace, 'datastore_sil02', 'config.yaml: silos[1].datastore'), {
    message:
      'config.yaml: silos[1].datastore: no datastore "datastore_sil02"; did you mean datastore_silo2? (fedrad workspace show)',
  });
  assert.throws(
    () => findCompute(workspace, 'gpu', 'here'),
    /no compute "gpu"; there are orchestrator-01, silo0-01, silo1-01/,
  );
  assert.equal((await openVault(home, 'https://kv-fldemo.vault.azure.net/')).name, 'kv-fldemo');
});

test('a home of several workspaces wants a name, and keeps them apart', async (t) => {
  const home = await temporaryHome(t);
  await provisionWorkspace(home);
  await provisionWorkspace(home, { workspaceName: 'aml-two', demoBaseName: 'two', siloCount: 1 });
  await assert.rejects(
    openWorkspace(home),
    /several workspaces; there are aml-fldemo, aml-two \(choose one with --workspace_name\)/,
  );
  const [one, two] = await Promise.all(
    ['aml-fldemo', 'aml-two'].map((workspaceName) => openWorkspace(home, { workspaceName })),
  );
  assert.equal(two?.computes.size, 2);
  assert.notEqual(
    one?.datastores.get('datastore_silo0')?.localPath('a'),
    two?.datastores.get('datastore_silo0')?.localPath('a'),
  );
});
