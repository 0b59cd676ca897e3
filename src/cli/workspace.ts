/** @file `fedrad provision` and `fedrad workspace`. */
import { type Command, Option } from 'commander';
import { openWorkspace, provisionWorkspace, type WorkspaceDescription } from '../workspace/index.ts';
import { homeOf, printJson, table } from './context.ts';
import { integerOption, type NamedWorkspace, workspaceName, workspaceOptions } from './options.ts';
import { type AzureProvisionOptions, provisionOnAzure, refuseAzureOptions } from './provision-azure.ts';

export function addProvisionCommand(root: Command): void {
  workspaceOptions(root.command('provision'))
    .description(
      'make a workspace, on this machine or on Azure: an orchestrator, hospitals with computes and datastores, a key vault',
    )
    .addOption(new Option('--target <where>', 'where to make it').choices(['local', 'azure']).default('local'))
    .option('--silos <n>', 'number of hospitals', integerOption(1, 100))
    .option('--regions <region...>', 'regions of the hospitals, in turn')
    .option('--demo-base-name <name>', 'base of the names (default: fldemo)')
    .option('--orchestrator-region <region>', 'azure: region of the orchestrator (default: the first of --regions)')
    .option('--vm-size <size>', 'azure: VM size of the computes (default: Standard_DS4_v2)')
    .option('--gpu-size <size>', 'azure: a second compute for each hospital, silo0-02, with GPUs')
    .option('--max-nodes <n>', 'azure: nodes that a compute grows to (default: 2)', integerOption(1, 100))
    .addOption(
      new Option(
        '--private-networking [which]',
        'azure: storage is reached from inside the networks only: all of it, or that of the silos',
      )
        .choices(['all', 'silos'])
        .preset('all'),
    )
    .option('--offline <folder>', 'azure: write main.json and main.bicep there, and make nothing')
    .option('--what-if', 'azure: show what would change, and change nothing')
    .option('--json', 'print the workspace as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  fedrad provision\n  fedrad provision --workspace_name aml-trial --demo_base_name trial --silos 5\n  fedrad provision --target azure --resource_group rg-fl --subscription_id <id> --demo_base_name <base> --regions eastus westus westeurope --what-if',
    )
    .action(async (options: AzureProvisionOptions & { readonly target: 'local' | 'azure' }, command: Command) => {
      if (options.target === 'azure') {
        process.exitCode = await provisionOnAzure(options);
        return;
      }
      refuseAzureOptions(options);
      const { silos, regions, demoBaseName } = options;
      const workspace = await provisionWorkspace(homeOf(command), {
        ...workspaceName(options),
        ...(silos === undefined ? {} : { siloCount: silos }),
        ...(regions === undefined ? {} : { regions }),
        ...(demoBaseName === undefined ? {} : { demoBaseName }),
      });
      if (options.json) return printJson(workspace);
      console.log(
        `${workspace.created ? 'Made' : 'Found'} workspace ${workspace.workspaceName} in ${homeOf(command)}${workspace.created ? '' : '; nothing changed'}.`,
      );
      show(workspace);
      console.log(
        `\nNext: fedrad submit upload-data --example PNEUMONIA --workspace_name ${workspace.workspaceName} --config <config with data.source> --wait`,
      );
      console.log(
        '      (the default source is Kaggle: fedrad keyvault secret set --help; without an account: fedrad demo)',
      );
    });
}

export function addWorkspaceCommands(root: Command): void {
  const group = root
    .command('workspace')
    .description('look at a workspace')
    .addHelpText('after', '\nExample:\n  fedrad workspace show');
  workspaceOptions(group.command('show'))
    .description('show computes, datastores and the key vault')
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExample:\n  fedrad workspace show --workspace_name aml-fldemo')
    .action(async (options: NamedWorkspace & { json?: boolean }, command: Command) => {
      const { description } = await openWorkspace(homeOf(command), workspaceName(options));
      if (options.json) printJson(description);
      else show(description);
    });
}

function show(workspace: WorkspaceDescription): void {
  const rows = workspace.computes.map(({ name, role, region, datastores }) => [
    name,
    role,
    region,
    datastores.join(', '),
  ]);
  console.log(table(['COMPUTE', 'ROLE', 'REGION', 'DATASTORE'], rows));
  console.log(`key vault ${workspace.keyVault}`);
}
