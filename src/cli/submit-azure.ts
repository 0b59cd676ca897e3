/**
 * @file `fedrad submit … ` to an Azure ML workspace: checks the config against it, registers the components, submits the job and records
 * the run in the home. With `--offline` it writes the YAML that `az ml job create` takes and asks Azure nothing.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AzureMl, JobStanding, WorkspaceAddress } from '../azure/index.ts';
import { FedradError, fail, messageOf } from '../base/index.ts';
import {
  type Graph,
  graphHash,
  OWN_DATASTORE,
  type PneumoniaConfig,
  parseUploadSource,
  type UploadConfig,
} from '../pipelines/index.ts';
import { openRunHistory, type RunHistory, type WorkspaceName } from '../workspace/index.ts';
import { printJson } from './context.ts';
import { createRun } from './create-run.ts';
import { tellOutcome } from './execute.ts';
import { isSubscriptionId } from './options.ts';
import { packageVersion } from './package-version.ts';
import { makeReport } from './report.ts';
import { followAzure } from './run-azure.ts';
import { runFiles, runFolder } from './run-folder.ts';
import type { SubmitOptions } from './submit.ts';
import { writeWhole } from './write-whole.ts';

/** A name in config.yaml, and where it stands there. */
export interface NamedPlace {
  readonly name: string;
  readonly where: string;
}

export interface ConfigPlaces {
  readonly computes: readonly NamedPlace[];
  readonly datastores: readonly NamedPlace[];
}

export interface AzureSubmission {
  readonly graph: Graph;
  readonly config: string;
  readonly places: ConfigPlaces;
}

/** Whether the workspace is named in full, as only one on Azure needs to be. */
export const namesAzure = ({ workspaceName, resourceGroup, subscriptionId }: WorkspaceName): boolean =>
  workspaceName !== undefined && resourceGroup !== undefined && isSubscriptionId(subscriptionId ?? '');

/** The computes and datastores of a config, with their places in it. */
export function placesOf(config: PneumoniaConfig | UploadConfig, file: string): ConfigPlaces {
  const at = `${file}: federated_learning`;
  const computes: NamedPlace[] = [];
  const datastores: NamedPlace[] = [];
  const add = (compute: string, datastore: string, where: string, key = 'compute'): void => {
    computes.push({ name: compute, where: `${where}.${key}` });
    datastores.push({ name: datastore, where: `${where}.datastore` });
  };
  const { federated_learning: federation } = config;
  if ('orchestrator' in federation) {
    add(federation.orchestrator.compute, federation.orchestrator.datastore, `${at}.orchestrator`);
    for (const [index, silo] of federation.silos.entries()) {
      const where = `${at}.silos[${index}]`;
      add(silo.computes[0]!, silo.datastore, where, 'computes[0]');
    }
  } else {
    for (const [index, silo] of federation.silos.entries()) add(silo.compute, silo.datastore, `${at}.silos[${index}]`);
    const source = 'data' in config ? parseUploadSource(config.data.source) : undefined;
    if (source?.kind === 'datastore' && source.datastore !== undefined)
      datastores.push({ name: source.datastore, where: `${file}: data.source` });
  }
  return { computes, datastores };
}

/** Writes and prints the YAML. */
export async function writeAzureYaml(graph: Graph, options: SubmitOptions): Promise<void> {
  const azure = await import('../azure/index.ts');
  const job = azure.pipelineJob(graph, { fedradVersion: packageVersion, graphHash: graphHash(graph) });
  const files = azure.pipelineJobYaml(job);
  const folder = options.output ?? `azure-${graph.pipeline}`;
  for (const path of Object.keys(files)) await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeWhole(Object.fromEntries(Object.entries(files).map(([path, text]) => [join(folder, path), text])));
  for (const note of job.notes) console.error(`note: ${note}`);
  if (options.json) return printJson({ folder, files });
  console.log(files['pipeline.yaml']);
  console.log(
    `# ${job.steps.length} steps, written to ${folder}. The pipeline was NOT submitted; omit --offline to submit it, or:\n# az ml job create --file ${join(folder, 'pipeline.yaml')}`,
  );
}

/** Submits to Azure ML; the exit code with `wait`, otherwise undefined. */
export async function submitToAzure(
  home: string,
  name: WorkspaceName,
  { graph, config, places }: AzureSubmission,
  options: SubmitOptions,
): Promise<number | undefined> {
  const azure = await import('../azure/index.ts');
  const address = {
    subscriptionId: name.subscriptionId ?? missing('--subscription_id'),
    resourceGroup: name.resourceGroup ?? missing('--resource_group'),
    workspaceName: name.workspaceName ?? missing('--workspace_name'),
  };
  const credential = azure.azureCredential();
  const { resourceManager } = azure.azureEndpoints();
  refuseLocalInputs(graph);
  // Everything is looked at before anything is made.
  const ml = await azure.openAzureMl({ credential, address, resourceManager });
  const gpus = new Map<string, number>();
  for (const { name: compute, where } of places.computes) {
    if (!gpus.has(compute)) gpus.set(compute, await ml.gpus(compute, where));
  }
  for (const { name: datastore, where } of places.datastores) await ml.blobPlace(datastore, where);
  const job = azure.pipelineJob(graph, {
    fedradVersion: packageVersion,
    graphHash: graphHash(graph),
    gpus: (compute) => gpus.get(compute) ?? 0,
    ...(ml.keyVault === undefined ? {} : { keyVault: ml.keyVault }),
    ...(options.identity === undefined ? {} : { identity: options.identity }),
  });
  for (const note of job.notes) console.error(`note: ${note}`);
  for (const component of job.components) {
    const { name: environment, version } = azure.environmentOf(component);
    if (await ml.hasEnvironment(environment, version)) continue;
    fail(
      `workspace ${address.workspaceName}`,
      `it has no environment ${environment}:${version}`,
      `az ml environment create --file deploy/azure/environments/${component.environment}/environment.yaml --version ${version} --workspace-name ${address.workspaceName} --resource-group ${address.resourceGroup} --subscription ${address.subscriptionId}; before it the package goes there: docs/azure.md`,
    );
  }
  for (const component of job.components) {
    await ml.putComponent(component.name, component.version, azure.componentVersionBody(component, ml.part));
  }
  using history = await openRunHistory(home);
  const id = await createRun(home, history, graph, config, address.workspaceName);
  await azure.recordAzureRun(runFolder(home, id), { ...address, job: id });
  const { studio } = await ml.submit(id, azure.jobBody(job, ml.part)).catch(async (error: unknown) => {
    // The connection may have been lost after the job had arrived: then it runs, and costs.
    const arrived = isRefusal(error) ? undefined : await askFor(ml, id);
    if (arrived) return arrived;
    const [at, reason] = [new Date().toISOString(), messageOf(error)];
    history.append(id, { type: 'finished', at, status: 'FAILED', reason });
    throw error;
  });
  await azure.recordAzureRun(runFolder(home, id), { ...address, job: id, ...(studio === undefined ? {} : { studio }) });
  const { experiment, pipeline } = graph;
  const announce = (): void => {
    if (options.json) return;
    console.log(`Submitted run ${id} (${experiment}) to workspace ${address.workspaceName} on Azure.`);
    if (studio !== undefined) console.log(`Studio: ${studio}`);
  };
  if (!options.wait) {
    announce();
    if (options.json) printJson({ id, experiment, pipeline, status: 'QUEUED', studio });
    else console.log(`Next: fedrad run show ${id}; fedrad run logs ${id} --follow`);
    return undefined;
  }
  const outcome = await followAzure(home, history, id, announce);
  if (outcome.status === 'INTERRUPTED') {
    console.error(`Run ${id} goes on at Azure (fedrad run logs ${id} --follow; fedrad run cancel ${id} ends it).`);
    return 130;
  }
  // The run is what it is, whether its evidence can be read from here or not.
  const unread =
    outcome.status === 'COMPLETED' && pipeline === 'pneumonia' ? await reportProblem(home, history, id) : undefined;
  if (options.json) printJson({ id, experiment, pipeline, studio, ...outcome });
  else if (unread === undefined) return tellOutcome(home, id, pipeline, outcome, workspaceOptions(address));
  else console.log(`Run ${id} completed.`);
  if (unread) console.error(`fedrad: ${unread.message}\nNext: once mended: fedrad run report ${id}`);
  return outcome.status === 'COMPLETED' && !unread ? 0 : 1;
}

/** Writes the report; gives what stood in the way. */
async function reportProblem(home: string, history: RunHistory, id: string): Promise<FedradError | undefined> {
  try {
    await writeWhole({ [runFiles(home, id).report]: (await makeReport(home, history, id)).html });
    return undefined;
  } catch (error) {
    if (error instanceof FedradError) return error;
    throw error;
  }
}

/** Whether Azure has said no, and not only nothing. */
const isRefusal = (error: unknown): boolean => {
  const status = error instanceof Error ? (error.cause as { statusCode?: unknown } | undefined)?.statusCode : undefined;
  return typeof status === 'number' && status >= 400 && status < 500 && status !== 408 && status !== 429;
};

/** The job, if Azure has it. @throws FedradError where nobody answers: whether it runs is not known */
function askFor(ml: AzureMl, id: string): Promise<JobStanding | undefined> {
  return ml.job(id).catch((cause: unknown) => {
    const remedy = `fedrad run show ${id}; fedrad run cancel ${id} ends it, if it is there`;
    return fail(
      `run ${id}`,
      `the job was sent, and Azure does not say whether it has it: ${messageOf(cause)}`,
      remedy,
      cause,
    );
  });
}

const workspaceOptions = ({ workspaceName, resourceGroup, subscriptionId }: WorkspaceAddress): string =>
  `--workspace_name ${workspaceName} --resource_group ${resourceGroup} --subscription_id ${subscriptionId}`;

const missing = (option: string): never =>
  fail(option, 'a workspace on Azure needs its subscription, resource group and name', `give ${option}`);

/** Files of this machine would have to go through a datastore that every silo may read. */
function refuseLocalInputs({ steps }: Graph): void {
  const local = steps.flatMap(({ inputs }) => Object.values(inputs)).find(({ from }) => from === 'local');
  if (local?.from !== 'local') return;
  fail(
    'data.source',
    `${local.path} is on this machine, and the silos on Azure cannot see it`,
    `az storage blob upload-batch puts a silo's images into its own storage; then source: azureml://datastores/${OWN_DATASTORE}/paths/<folder or archive.zip>: docs/azure.md`,
  );
}
