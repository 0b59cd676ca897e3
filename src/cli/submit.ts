/** @file `fedrad submit upload-data` and `fedrad submit pneumonia`: config.yaml to a graph, to a run. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import {
  checkOwnData,
  type Graph,
  type PneumoniaConfig,
  parseConfig,
  pneumoniaConfigSchema,
  pneumoniaGraph,
  uploadConfigSchema,
  uploadGraph,
} from '../pipelines/index.ts';
import {
  hasFederation,
  hasWorkspace,
  hasWorkspaces,
  isHeld,
  openRunHistory,
  openWorkspace,
  type Workspace,
  type WorkspaceName,
} from '../workspace/index.ts';
import { checkTrainers } from './check-trainers.ts';
import { checkAcross, checkPneumoniaConfig, checkUploadConfig } from './check-workspace.ts';
import { homeOf, printJson, table } from './context.ts';
import { createRun } from './create-run.ts';
import { daemonLock, executeInBackground, executeRun, tellOutcome } from './execute.ts';
import { followRun } from './follow-run.ts';
import { integerOption, type NamedWorkspace, workspaceName, workspaceOptions } from './options.ts';
import { type ConfigPlaces, namesAzure, placesOf, submitToAzure, writeAzureYaml } from './submit-azure.ts';
import { checkedMlruns, MLRUNS_OPTION, type TrackingChoice } from './track.ts';

export interface SubmitOptions extends NamedWorkspace, TrackingChoice {
  readonly config?: string;
  readonly offline?: boolean;
  readonly wait?: boolean;
  readonly json?: boolean;
  readonly cores?: number;
  readonly target?: 'azure' | 'local';
  /** For Azure: as whom the steps read and write data. */
  readonly identity?: 'managed' | 'user';
  /** For Azure with `offline`: the folder of the YAML. */
  readonly output?: string;
}

/** A config read and compiled, with a check against a workspace. */
interface Compiled {
  readonly aml: {
    subscription_id?: string | undefined;
    resource_group_name?: string | undefined;
    workspace_name?: string | undefined;
  };
  readonly graph: Graph;
  readonly places: ConfigPlaces;
  readonly check: (workspace: Workspace) => Promise<void>;
  /** What is refused on Azure whatever the workspace. */
  readonly checkForAzure?: () => void;
}

const examples = join(import.meta.dirname, '..', '..', 'examples');

export function addSubmitCommands(root: Command): void {
  const group = root
    .command('submit')
    .description('submit a pipeline')
    .addHelpText(
      'after',
      '\nExample:\n  fedrad submit upload-data --example PNEUMONIA --workspace_name aml-fldemo --wait\n  fedrad submit pneumonia --workspace_name aml-fldemo --wait',
    );
  submitOptions(group.command('upload-data'))
    .description("fetch radiographs and give each hospital its part (by default Kaggle's chest X-ray images)")
    .addOption(new Option('--example <name>', 'which data').choices(['PNEUMONIA']).makeOptionMandatory())
    .addHelpText(
      'after',
      '\nExample:\n  fedrad submit upload-data --example PNEUMONIA --workspace_name aml-fldemo --config upload.yaml --wait',
    )
    .action((options: SubmitOptions & { example: string }, command: Command) =>
      submit(options, homeOf(command), 'upload-data', (text, file) => {
        const config = parseConfig(text, uploadConfigSchema, file);
        const graph = uploadGraph(config, options.example, process.cwd());
        return {
          aml: config.aml,
          graph,
          places: placesOf(config, file),
          check: async (workspace) =>
            checkUploadConfig(config, graph, workspace, file, await isAcross(homeOf(command), workspace)),
        };
      }),
    );
  submitOptions(group.command('pneumonia'))
    .description('train the pneumonia model over the hospitals and evaluate it')
    .addHelpText(
      'after',
      '\nExample:\n  fedrad submit pneumonia --workspace_name aml-fldemo --wait\n  fedrad submit pneumonia --config config.yaml --offline\n  fedrad submit pneumonia --workspace_name aml-fldemo --resource_group rg --subscription_id 00000000-0000-0000-0000-000000000000 --wait',
    )
    .action((options: SubmitOptions, command: Command) =>
      submit(options, homeOf(command), 'pneumonia', (text, file) => {
        const config = parseConfig(text, pneumoniaConfigSchema, file);
        checkOwnData(config, file);
        return {
          aml: config.aml,
          graph: pneumoniaGraph(config),
          places: placesOf(config, file),
          check: async (workspace) => {
            tellUnusedKeys(config, file, false);
            const across = await isAcross(homeOf(command), workspace);
            await checkPneumoniaConfig(config, workspace, file, across || (options.offline ?? false));
            if (across) checkAcross(config, file);
            else if (!options.offline) await checkTrainers(config, file, homeOf(command));
          },
          checkForAzure: () => {
            checkAcross(config, file);
            tellUnusedKeys(config, file, true);
          },
        };
      }),
    );
}

const isAcross = (home: string, { description }: Workspace): Promise<boolean> =>
  hasFederation(home, description.workspaceName);

const submitOptions = (command: Command): Command =>
  workspaceOptions(command)
    .option('--config <file>', 'config.yaml (default: the one that comes with fedrad, as in the Azure ML example)')
    .option('--offline', 'build, check and print the graph; submit nothing')
    .option('--wait', 'stay until the run has ended, and exit with its result')
    .addOption(
      new Option(
        '--target <where>',
        'where the workspace is (default: on Azure where --workspace_name, --resource_group and --subscription_id are given and this home has no workspace of that name; else here)',
      ).choices(['azure', 'local']),
    )
    .addOption(
      new Option('--identity <who>', "on Azure: as whom steps read data, the compute's own identity or you").choices([
        'managed',
        'user',
      ]),
    )
    .option('--output <folder>', 'on Azure with --offline: where the YAML is written (default: azure-<pipeline>)')
    .option('--cores <n>', 'cores to use (default: all)', integerOption(1, 1024))
    .option(...MLRUNS_OPTION)
    .option('--json', 'print the result as JSON');

async function submit(
  options: SubmitOptions,
  home: string,
  pipeline: 'upload-data' | 'pneumonia',
  compile: (text: string, file: string) => Compiled,
): Promise<void> {
  const file = options.config ?? join(examples, pipeline, 'config.yaml');
  const text = await readFile(file, 'utf8').catch((cause: unknown) =>
    fail(file, 'cannot read the config', 'give --config <file>', cause),
  );
  const { aml, graph, check, checkForAzure, places } = compile(text, basename(file));
  const given = await chosenWorkspace(options, aml);
  const isHere = options.target !== 'azure' && (await hasWorkspace(home, given.workspaceName));
  const name = isHere ? given : withSubscription(given);
  const mlruns = await checkedMlruns(options);
  // A workspace that is named in full and is not one of this home is Azure's, unless --target says otherwise.
  if (options.target === undefined ? namesAzure(name) && !isHere : options.target === 'azure') {
    if (mlruns !== undefined)
      fail('--mlruns', 'on Azure ML the steps log to the workspace itself', 'see them in the Studio, or with mlflow');
    checkForAzure?.();
    if (options.offline) return writeAzureYaml(graph, options);
    const outcome = await submitToAzure(home, name, { graph, config: text, places }, options);
    if (outcome !== undefined) process.exitCode = outcome;
    return;
  }
  if (options.offline) {
    const checkable = name.workspaceName !== undefined || (await hasWorkspaces(home));
    if (checkable) await check(await openWorkspace(home, name));
    const checked = checkable
      ? `checked against the workspace${name.workspaceName === undefined ? '' : ` ${name.workspaceName}`} in ${home}`
      : 'not checked against a workspace: there is none here (fedrad provision)';
    if (options.json) return printJson(graph);
    printGraph(graph);
    console.log(
      `\n${graph.steps.length} steps, ${checked}.\nThe pipeline was NOT submitted; omit --offline to submit it.`,
    );
    return;
  }
  const { workspaceName, resourceGroup, subscriptionId } = name;
  if (resourceGroup !== undefined && subscriptionId === undefined && !isHere)
    fail(
      '--subscription_id',
      `workspace "${workspaceName}" is none of this home, and on Azure it needs its subscription too`,
      'give --subscription_id, or AZURE_SUBSCRIPTION_ID; for one of this home: fedrad provision',
    );
  const workspace = await openWorkspace(home, name);
  await check(workspace);
  const choice = mlruns === undefined ? options : { ...options, mlruns };
  const outcome = await submitGraph(home, workspace, graph, text, choice);
  if (outcome !== undefined) process.exitCode = outcome;
}

/** The subscription that `az` and the SDKs take, where a resource group says that the workspace is on Azure. */
function withSubscription(name: WorkspaceName): WorkspaceName {
  const { resourceGroup, subscriptionId = process.env['AZURE_SUBSCRIPTION_ID'] } = name;
  return resourceGroup === undefined || subscriptionId === undefined ? name : { ...name, subscriptionId };
}

/** Says which keys have no effect where the run goes. */
function tellUnusedKeys({ federated_learning: { silos } }: PneumoniaConfig, file: string, onAzure: boolean): void {
  for (const [index, silo] of silos.entries()) {
    const at = `note: ${file}: federated_learning.silos[${index}]`;
    if (!onAzure) {
      for (const key of ['instance_count', 'instance_type'] as const)
        if (silo[key] !== undefined) console.error(`${at}.${key} is for Azure ML and has no effect on this machine`);
    }
    for (const position of silo.computes.keys())
      if (position > 0)
        console.error(`${at}.computes[${position}] has no effect: a silo's steps run on its first compute`);
    if (silo.process_count_per_instance !== undefined && silo.trainer !== 'pytorch')
      console.error(`${at}.process_count_per_instance has no effect without trainer: pytorch`);
  }
}

/** Records a run and starts it. With `wait` it returns the exit code of the run. */
async function submitGraph(
  home: string,
  workspace: Workspace,
  graph: Graph,
  config: string,
  options: SubmitOptions,
): Promise<number | undefined> {
  // Where the orchestrator's service runs it takes the run by itself.
  const served = isHeld(daemonLock(home, workspace.description.workspaceName));
  if (served && options.mlruns !== undefined)
    fail('--mlruns', "the orchestrator's service runs this run and logs it", 'start that with MLFLOW_TRACKING_URI');
  using history = await openRunHistory(home);
  const { experiment, pipeline } = graph;
  const id = await createRun(home, history, graph, config, workspace.description.workspaceName);
  if (!options.json)
    console.log(`Submitted run ${id} (${experiment}) to workspace ${workspace.description.workspaceName}.`);
  if (!options.wait) {
    if (!served) executeInBackground(home, id, options);
    if (options.json) printJson({ id, experiment, pipeline, status: 'QUEUED' });
    else console.log(`Next: fedrad run show ${id}; fedrad run logs ${id} --follow`);
    return undefined;
  }
  const outcome = served ? await followRun(history, id) : await executeRun(home, history, id, options);
  if (!options.json) return tellOutcome(home, id, pipeline, outcome);
  printJson({ id, experiment, pipeline, ...outcome });
  return outcome.status === 'COMPLETED' ? 0 : 1;
}

const configJsonSchema = z.object({
  subscription_id: z.string().optional(),
  resource_group: z.string().optional(),
  workspace_name: z.string().optional(),
});

/** Options win over config.yaml, which wins over config.json in this folder. */
async function chosenWorkspace(options: NamedWorkspace, aml: Compiled['aml']): Promise<WorkspaceName> {
  const json = await readFile('config.json', 'utf8').catch(() => undefined);
  const file = json === undefined ? {} : parseConfig(json, configJsonSchema, 'config.json');
  const name = options.workspaceName ?? aml.workspace_name ?? file.workspace_name;
  const group = options.resourceGroup ?? aml.resource_group_name ?? file.resource_group;
  const subscription = options.subscriptionId ?? aml.subscription_id ?? file.subscription_id;
  return workspaceName({
    ...(name === undefined ? {} : { workspaceName: name }),
    ...(group === undefined ? {} : { resourceGroup: group }),
    ...(subscription === undefined ? {} : { subscriptionId: subscription }),
  });
}

function printGraph(graph: Graph): void {
  const rows = graph.steps.map(({ id, component, compute, inputs }) => [
    id,
    component,
    compute,
    Object.values(inputs)
      .map((input) => (input.from === 'step' ? input.step : input.path))
      .join(', ')
      .slice(0, 100),
  ]);
  console.log(`${graph.experiment}\n${table(['STEP', 'COMPONENT', 'COMPUTE', 'NEEDS'], rows)}`);
}
