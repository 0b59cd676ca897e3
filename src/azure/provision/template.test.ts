/** @file The template by its value and as the stand-in reads it: what is in it, who may do what, and that nothing refers to nothing. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { armTemplate } from './arm-json.ts';
import { bicepText } from './bicep.ts';
import { before, type Expression, type Resource, text } from './expressions.ts';
import { provisionFiles } from './files.ts';
import { azureNames, type PlanOptions, provisionPlan } from './plan.ts';
import { BLOB_CONTRIBUTOR } from './site-resources.ts';
import { plannedResources, provisionTemplate } from './template.ts';

const PLANS: readonly PlanOptions[] = [
  {},
  { silos: 1, baseName: 'abc' },
  { silos: 50, baseName: 'abcdefghijklmnop', gpuSize: 'Standard_NC6s_v3', storage: 'private' },
  { storage: 'private', gpuSize: 'Standard_NC6s_v3', baseName: 'fl-demo', regions: ['westeurope', 'eastus'] },
  { storage: 'private-silos', workspaceName: 'my_workspace' },
];

const templateOf = (options: PlanOptions) => provisionTemplate(provisionPlan(options));

test('everything that a resource needs is in the template, before it', () => {
  for (const plan of PLANS) {
    const { resources } = templateOf(plan);
    const symbols = resources.map(({ symbol }) => symbol);
    assert.equal(new Set(symbols).size, symbols.length);
    assert.ok(symbols.length <= 800, `${symbols.length} resources`);
    const names = plannedResources(templateOf(plan)).filter(({ name }) => name !== '');
    assert.equal(new Set(names.map(({ type, name }) => `${type} ${name}`.toLowerCase())).size, names.length);
    const made = new Set<Resource>();
    // Each round makes what has all it needs; a circle would leave some.
    for (let round = 0; made.size < resources.length && round < 20; round++) {
      for (const each of resources) if (before(each).every((other) => made.has(other))) made.add(each);
    }
    assert.deepEqual(
      resources.filter((each) => !made.has(each)).map(({ symbol }) => symbol),
      [],
    );
  }
});

test("names are the example's", () => {
  assert.deepEqual(azureNames(provisionPlan()), {
    keyVault: 'kv-fldemo',
    computes: ['orchestrator-01', 'silo0-01', 'silo1-01', 'silo2-01'],
    datastores: ['datastore_orchestrator', 'datastore_silo0', 'datastore_silo1', 'datastore_silo2'],
    accounts: ['stfldemoorch', 'stfldemosilo0', 'stfldemosilo1', 'stfldemosilo2'],
  });
  for (const options of PLANS) {
    const plan = provisionPlan(options);
    const names = azureNames(plan);
    const planned = plannedResources(provisionTemplate(plan));
    const of = (type: string) => planned.filter((each) => each.type === type).map(({ name }) => name.split('/').at(-1));
    const workspace = 'Microsoft.MachineLearningServices/workspaces';
    assert.deepEqual(of(workspace), [plan.workspaceName]);
    assert.deepEqual(of(`${workspace}/computes`), names.computes);
    assert.deepEqual(of(`${workspace}/datastores`), names.datastores);
    assert.deepEqual(of('Microsoft.KeyVault/vaults'), [names.keyVault]);
    assert.deepEqual(of('Microsoft.Storage/storageAccounts').slice(1), names.accounts);
    for (const account of names.accounts) assert.match(account, /^[a-z0-9]{3,24}$/);
  }
});

test("a silo's storage is its own, the orchestrator's is shared, and nobody else gets a role", () => {
  for (const plan of PLANS) {
    const { resources } = templateOf(plan);
    const roles = resources.filter(({ type }) => type === 'Microsoft.Authorization/roleAssignments');
    const given = roles.map(({ scope, body }) => {
      const { principalId, roleDefinitionId } = body['properties'] as Record<string, Expression>;
      assert.deepEqual(roleDefinitionId, { expression: 'role', definition: BLOB_CONTRIBUTOR });
      assert.ok(principalId?.expression === 'principal');
      return `${principalId.of.symbol} on ${scope?.symbol}`;
    });
    const silos = provisionPlan(plan).siloRegions.map((_, silo) => `silo${silo}`);
    assert.deepEqual(
      given.toSorted(),
      [
        'orchIdentity on orchStorage',
        ...silos.flatMap((silo) => [`${silo}Identity on ${silo}Storage`, `${silo}Identity on orchStorage`]),
      ].toSorted(),
    );
    const policies = resources.filter(({ type }) => type === 'Microsoft.KeyVault/vaults/accessPolicies');
    const { accessPolicies } = policies[0]!.body['properties'] as { accessPolicies: Record<string, unknown>[] };
    assert.equal(policies.length, 1);
    assert.deepEqual(
      accessPolicies.map(({ permissions, objectId }) => [permissions, (objectId as { of: Resource }).of.symbol]),
      silos.map((silo) => [{ secrets: ['get', 'list'] }, `${silo}Identity`]),
    );
    // No account of a site gives out keys, and none is open to the world.
    const accounts = resources.filter(({ type }) => type === 'Microsoft.Storage/storageAccounts').slice(1);
    for (const { body } of accounts) {
      const properties = body['properties'] as Record<string, unknown>;
      assert.equal(properties['allowSharedKeyAccess'], false);
      assert.equal(properties['allowBlobPublicAccess'], false);
    }
  }
});

test('private networking closes the storage and opens one way in for each', () => {
  const access = (storage: 'public' | 'private' | 'private-silos') => {
    const { resources } = templateOf({ storage });
    const count = (type: string) => resources.filter((each) => each.type === `Microsoft.Network/${type}`).length;
    return {
      open: resources
        .filter(({ type }) => type === 'Microsoft.Storage/storageAccounts')
        .slice(1)
        .map(({ body }) => (body['properties'] as Record<string, unknown>)['publicNetworkAccess'] === 'Enabled'),
      networks: count('virtualNetworks'),
      endpoints: count('privateEndpoints'),
      peerings: count('virtualNetworks/virtualNetworkPeerings'),
    };
  };
  assert.deepEqual(access('public'), { open: [true, true, true, true], networks: 0, endpoints: 0, peerings: 0 });
  assert.deepEqual(access('private'), { open: [false, false, false, false], networks: 4, endpoints: 4, peerings: 6 });
  assert.deepEqual(access('private-silos'), {
    open: [true, false, false, false],
    networks: 4,
    endpoints: 3,
    peerings: 0,
  });
});

test('networks are peered one after the other, once their endpoints are there', () => {
  const { resources } = templateOf({ storage: 'private' });
  const peerings = resources.filter(({ type }) => type.endsWith('/virtualNetworkPeerings'));
  const endpoints = resources.filter(({ type }) => type === 'Microsoft.Network/privateEndpoints');
  assert.deepEqual([peerings.length, endpoints.length], [6, 4]);
  for (const endpoint of endpoints) assert.ok(before(peerings[0]!).includes(endpoint));
  for (const [index, peering] of peerings.slice(1).entries()) assert.ok(before(peering).includes(peerings[index]!));
});

test('a plan that Azure would not take is refused with its option', () => {
  const refusals: readonly [PlanOptions, RegExp][] = [
    [{ baseName: 'ab' }, /--demo_base_name: .*got "ab"/],
    [{ baseName: 'seventeen-letters' }, /--demo_base_name/],
    [{ baseName: 'FLdemo' }, /--demo_base_name: .*lower-case/],
    [{ baseName: 'a--b' }, /--demo_base_name/],
    [{ baseName: 'a-b' }, /--demo_base_name: expected at least 3 letters and digits, got "a-b"/],
    [{ workspaceName: 'a b c' }, /--workspace_name/],
    [{ regions: ['West Europe'] }, /--regions, --silos|--orchestrator-region/],
    [{ regions: [] }, /--orchestrator-region|--regions/],
    [{ orchestratorRegion: 'EU' }, /--orchestrator-region/],
    [{ vmSize: 'DS4' }, /--vm-size: .*got "DS4"/],
    [{ gpuSize: "x'); --" }, /--gpu-size/],
    [{ silos: 51 }, /--silos/],
  ];
  for (const [options, expected] of refusals) assert.throws(() => provisionPlan(options), expected);
});

test('ARM JSON: texts that look like expressions stay texts, quotes are doubled', () => {
  const resource: Resource = {
    symbol: 'a',
    type: 'Microsoft.Test/things',
    apiVersion: '2020-01-01',
    name: [text("it's ", { expression: 'parameter', name: 'p' })],
    body: { properties: { bracket: '[concat(1)]', list: [true, null, 3] } },
  };
  const { resources } = armTemplate({ parameters: {}, resources: [resource], outputs: {} });
  assert.deepEqual(resources, [
    {
      type: 'Microsoft.Test/things',
      apiVersion: '2020-01-01',
      name: "[concat('it''s ', parameters('p'))]",
      properties: { bracket: '[[concat(1)]', list: [true, null, 3] },
    },
  ]);
  const bicep = bicepText({ parameters: {}, resources: [resource], outputs: {} }, []);
  assert.match(bicep, /name: 'it\\'s \$\{p\}'/);
  assert.match(bicep, /bracket: '\[concat\(1\)\]'/);
});

/** Bicep's own compiler is not here: this holds brackets and quotes together, and each name that is used to be declared. */
test('Bicep: brackets and quotes are balanced, every symbol is declared, every resource is there', () => {
  for (const plan of PLANS) {
    const template = templateOf(plan);
    const source = bicepText(template, ['heading']);
    const symbols = new Set([...source.matchAll(/^(?:resource|param) (\w+) /gm)].map(([, name]) => name!));
    assert.equal(symbols.size, template.resources.length + Object.keys(template.parameters).length);
    const open: string[] = [];
    const code: string[] = [];
    const inText = () => open.at(-1) === "'";
    for (let at = 0; at < source.length; at++) {
      const [sign, two] = [source[at]!, source.slice(at, at + 2)];
      if (inText()) {
        if (sign === '\\') at += 1;
        else if (sign === "'") open.pop();
        else if (two === '${') {
          open.push('{');
          code.push(' ');
          at += 1;
        }
        continue;
      }
      if (two === '//') {
        at = source.indexOf('\n', at);
        continue;
      }
      if ("'([{".includes(sign)) open.push(sign);
      else if (')]}'.includes(sign)) assert.equal(open.pop(), { ')': '(', ']': '[', '}': '{' }[sign]);
      code.push(sign);
    }
    assert.deepEqual(open, []);
    const uses = [
      ...code.join('').matchAll(/(?:: |\{|\(|, |= | {2,})([a-z]\w*)(?=\.id|\.properties|\[|,|\)|\}| |$)/gm),
    ];
    const known = /^(name|scope|dependsOn|true|false|null)$/;
    const unknown = uses.map(([, name]) => name!).filter((name) => !symbols.has(name) && !known.test(name));
    assert.deepEqual(unknown, []);
  }
});

test('deploy/azure holds the files of the plan without options', () => {
  const folder = join(import.meta.dirname, '..', '..', '..', 'deploy', 'azure');
  for (const [name, expected] of Object.entries(provisionFiles(provisionPlan())))
    assert.equal(
      readFileSync(join(folder, name), 'utf8'),
      expected,
      `${name}: fedrad provision --target azure --offline deploy/azure`,
    );
});
