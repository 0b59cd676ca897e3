/**
 * @file `fedrad provision --target azure`: writes the template (`--offline`), shows what would change (`--what-if`), or makes it. Only this
 * loads Azure's code.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import { printJson, table } from './context.ts';
import { isSubscriptionId, type NamedWorkspace } from './options.ts';
import { packageVersion } from './package-version.ts';
import { writeWhole } from './write-whole.ts';

export interface AzureProvisionOptions extends NamedWorkspace {
  readonly silos?: number;
  readonly regions?: readonly string[];
  readonly demoBaseName?: string;
  readonly orchestratorRegion?: string;
  readonly vmSize?: string;
  readonly gpuSize?: string;
  readonly maxNodes?: number;
  /** `true` where given without a word. */
  readonly privateNetworking?: true | 'all' | 'silos';
  readonly offline?: string;
  readonly whatIf?: boolean;
  readonly json?: boolean;
}

/** Refuses options that only Azure knows. */
export function refuseAzureOptions(options: AzureProvisionOptions): void {
  const given = (
    [
      ['orchestratorRegion', '--orchestrator-region'],
      ['vmSize', '--vm-size'],
      ['gpuSize', '--gpu-size'],
      ['maxNodes', '--max-nodes'],
      ['privateNetworking', '--private-networking'],
      ['offline', '--offline'],
      ['whatIf', '--what-if'],
    ] as const
  ).find(([key]) => options[key] !== undefined);
  if (given) fail(given[1], 'a workspace on this machine has no such thing', 'add --target azure');
}

const GROUP = /^(?!.*\.$)[\w().-]{1,90}$/;

/** Of one workspace; its resource group has a bound too. */
const MAX_SILOS = 50;

/** The exit code. */
export async function provisionOnAzure(options: AzureProvisionOptions): Promise<number> {
  const azure = await import('../azure/index.ts');
  const { workspaceName, demoBaseName, privateNetworking: inside, regions, silos, maxNodes } = options;
  const { orchestratorRegion, vmSize, gpuSize } = options;
  if (silos !== undefined && silos > MAX_SILOS)
    fail(
      '--silos',
      `expected at most ${MAX_SILOS} hospitals on Azure, got ${silos}`,
      'give fewer, or make two workspaces',
    );
  const plan = azure.provisionPlan({
    ...(workspaceName === undefined ? {} : { workspaceName }),
    ...(demoBaseName === undefined ? {} : { baseName: demoBaseName }),
    ...(regions === undefined ? {} : { regions }),
    ...(silos === undefined ? {} : { silos }),
    ...(orchestratorRegion === undefined ? {} : { orchestratorRegion }),
    ...(vmSize === undefined ? {} : { vmSize }),
    ...(gpuSize === undefined ? {} : { gpuSize }),
    ...(maxNodes === undefined ? {} : { maxNodes }),
    storage: inside === undefined ? 'public' : inside === 'silos' ? 'private-silos' : 'private',
  });
  if (options.offline !== undefined) {
    const files = azure.provisionFiles(plan);
    const folder = options.offline;
    await mkdir(folder, { recursive: true });
    await writeWhole(Object.fromEntries(Object.entries(files).map(([name, text]) => [join(folder, name), text])));
    if (options.json) printJson({ folder, files: Object.keys(files), ...azure.azureNames(plan) });
    else {
      console.log(`Written to ${folder}: ${Object.keys(files).join(', ')}. Nothing was made. To make it:`);
      const group = options.resourceGroup ?? '<group>';
      console.log(
        `  az group create --name ${group} --location ${plan.orchestratorRegion}\n  az deployment group create --name ${azure.deploymentName(plan)} --resource-group ${group} --template-file ${join(folder, 'main.json')}`,
      );
    }
    return 0;
  }
  const { resourceGroup = '', subscriptionId = process.env['AZURE_SUBSCRIPTION_ID'] ?? '' } = options;
  if (!isSubscriptionId(subscriptionId))
    fail(
      '--subscription_id',
      `expected the id of a subscription, got "${subscriptionId}"`,
      'az account list; or set AZURE_SUBSCRIPTION_ID',
    );
  if (!GROUP.test(resourceGroup))
    fail('--resource_group', `expected the name of a resource group, got "${resourceGroup}"`, 'az group list');
  const { resourceManager, lookMs } = azure.azureEndpoints();
  const target = {
    plan,
    subscriptionId,
    resourceGroup,
    credential: azure.azureCredential(),
    resourceManager,
    ...(lookMs === undefined ? {} : { lookMs }),
  };
  if (options.whatIf) {
    const { groupExists, changes } = await azure.whatIfPlan(target);
    if (options.json) printJson({ groupExists, changes });
    else {
      if (!groupExists)
        console.log(`Resource group ${resourceGroup} would be made in ${plan.orchestratorRegion}, and in it:\n`);
      const rows = changes.map(({ change, type, name, properties }) => [change, type, name, properties.join(', ')]);
      console.log(table(['CHANGE', 'RESOURCE', 'NAME', 'PROPERTIES'], rows));
      console.log('\nNothing was changed; omit --what-if to make it so.');
    }
    return 0;
  }
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const result = await azure.deployPlan({ ...target, signal: interrupt.signal, onEvent: sayEvent });
    if (result.outcome === 'not started') {
      console.error('Interrupted before the deployment: nothing was started. Run the same command again to go on.');
      return 130;
    }
    if (result.outcome === 'goes on') {
      console.error(`Azure goes on with deployment ${result.deployment}; run the same command again to follow it.`);
      return 130;
    }
    const names = azure.azureNames(plan);
    const where = { workspaceName: plan.workspaceName, resourceGroup, subscriptionId };
    if (options.json) printJson({ ...where, ...names, deployment: result.deployment, resources: result.resources });
    else sayNext(where, names);
    return 0;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

type DeployEvent = Parameters<Parameters<typeof import('../azure/index.ts').deployPlan>[0]['onEvent']>[0];

/** A line for each, on standard error. */
const sayEvent = (event: DeployEvent): void => console.error(lineOf(event));

function lineOf(event: DeployEvent): string {
  switch (event.kind) {
    case 'group-made':
      return `made      the resource group, in ${event.region}`;
    case 'registered':
      return `made      the registration of ${event.namespace}`;
    case 'joined':
      return `note: deployment ${event.deployment} of an earlier run goes on; following it first`;
    case 'earlier-failed':
      return `note: ${event.error.message}; now this one`;
    case 'resource':
      return `finished  ${event.type} ${event.name}  (${event.done}/${event.total})`;
    case 'problem': {
      const { type, name, code, message, remedy } = event.problem;
      const resource = [type, name].filter((word) => word !== '').join(' ');
      return `failed    ${resource === '' ? 'the template' : resource}: ${code}: ${message}\n          ${remedy}`;
    }
    case 'patience':
      return `note: ${event.error.message}; asking again`;
  }
}

interface Named {
  readonly workspaceName: string;
  readonly resourceGroup: string;
  readonly subscriptionId: string;
}

function sayNext(
  { workspaceName, resourceGroup, subscriptionId }: Named,
  { keyVault, computes, datastores, accounts }: ReturnType<typeof import('../azure/index.ts').azureNames>,
): void {
  const scope = `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/providers/Microsoft.Storage/storageAccounts/${accounts[0]}`;
  console.log(
    `Workspace ${workspaceName} is as planned: computes ${computes.join(', ')}; datastores ${datastores.join(', ')}; key vault ${keyVault}.`,
  );
  console.log(`
Next, once (docs/azure-provision.md):
  az role assignment create --role "Storage Blob Data Reader" --assignee <your object id> --scope ${scope}
  fedrad keyvault set-policy --target azure -n ${keyVault} --object-id <your object id> --secret-permissions list set delete --subscription ${subscriptionId}
  fedrad keyvault secret set --target azure --vault-name ${keyVault} --name kaggleusername --value <user>
  fedrad keyvault secret set --target azure --vault-name ${keyVault} --name kagglekey
then fedrad's environment, from a checkout: npm pack --pack-destination deploy/azure/environments/cpu
  az ml environment create --file deploy/azure/environments/cpu/environment.yaml --version ${packageVersion} --workspace-name ${workspaceName} --resource-group ${resourceGroup} --subscription ${subscriptionId}
and fedrad submit upload-data --example PNEUMONIA --workspace_name ${workspaceName} --resource_group ${resourceGroup} --subscription_id ${subscriptionId} --wait`);
}
