/**
 * @file A pipeline job as the bodies of the REST API (Microsoft.MachineLearningServices 2022-10-01): component versions and the job.
 *
 * The API leaves the nodes of a pipeline open (`jobs: object`). Their shape here is that of Microsoft's own client, azure-ai-ml, as its
 * public tests hold it: snake case, literals as text, modes by the words of the API. Pure.
 */
import type { ComponentVersion, JobBase, PipelineJob as RestPipelineJob } from '@azure/arm-machinelearning';
import { environmentOf } from './environments.ts';
import type { CommandComponent } from './pipeline-components.ts';
import { type JobInput, type JobStep, type PipelineJob, STEP_TAG } from './pipeline-job.ts';
import { componentFields } from './pipeline-job-yaml.ts';

/** The resource id of a part of the workspace, such as `part('computes', 'silo0-01')`. */
export type WorkspacePart = (kind: string, name: string, version?: string) => string;

/** The resource ids of a workspace's parts. */
export const workspaceParts =
  ({ subscriptionId, resourceGroup, workspaceName }: WorkspaceAddress): WorkspacePart =>
  (kind, name, version) =>
    `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/providers/Microsoft.MachineLearningServices/workspaces/${workspaceName}/${kind}/${name}${version === undefined ? '' : `/versions/${version}`}`;

/** Where an Azure ML workspace is. */
export interface WorkspaceAddress {
  readonly subscriptionId: string;
  readonly resourceGroup: string;
  readonly workspaceName: string;
}

/** The body of `PUT …/components/<name>/versions/<version>`. */
export function componentVersionBody(component: CommandComponent, part: WorkspacePart): ComponentVersion {
  const { name, version } = environmentOf(component);
  return {
    properties: {
      description: component.description,
      isAnonymous: false,
      isArchived: false,
      componentSpec: {
        ...componentFields(component),
        type: 'command',
        // As azure-ai-ml writes the id of something inside a specification.
        environment: `azureml:${part('environments', name, version)}`,
      } as unknown as Record<string, Record<string, unknown>>,
    },
  };
}

/** The body of `PUT …/jobs/<name>`. */
export function jobBody(job: PipelineJob, part: WorkspacePart): JobBase {
  const properties: RestPipelineJob = {
    jobType: 'Pipeline',
    displayName: job.displayName,
    experimentName: job.experiment,
    description: job.description,
    tags: { ...job.tags },
    settings: { _source: 'REMOTE.WORKSPACE.COMPONENT', continue_on_step_failure: false },
    inputs: {},
    outputs: {},
    jobs: Object.fromEntries(job.steps.map((step) => [step.name, node(step, job.identity, part)])),
  };
  return { properties };
}

const node = (step: JobStep, identity: PipelineJob['identity'], part: WorkspacePart): Record<string, unknown> => ({
  _source: 'REMOTE.WORKSPACE.COMPONENT',
  type: 'command',
  name: step.name,
  display_name: step.id,
  tags: { [STEP_TAG]: step.id },
  componentId: part('components', step.component.name, step.component.version),
  computeId: part('computes', step.compute),
  identity: { type: identity === 'managed' ? 'managed_identity' : 'user_identity' },
  resources: {
    instance_count: 1,
    ...(step.instanceType === undefined ? {} : { instance_type: step.instanceType }),
  },
  ...(step.timeoutSeconds === undefined
    ? {}
    : { limits: { job_limits_type: 'Command', timeout: `PT${step.timeoutSeconds}S` } }),
  inputs: Object.fromEntries(Object.entries(step.inputs).map(([port, input]) => [port, inputBody(input)])),
  outputs: Object.fromEntries(
    Object.entries(step.outputs).map(([name, uri]) => [name, { job_output_type: 'uri_folder', mode: 'Upload', uri }]),
  ),
});

function inputBody(input: JobInput): Record<string, string> {
  switch (input.kind) {
    case 'literal':
      return { job_input_type: 'literal', value: input.value };
    case 'step':
      return { job_input_type: 'literal', value: `\${{parent.jobs.${input.step}.outputs.${input.output}}}` };
    case 'path':
      return {
        job_input_type: input.type,
        mode: input.mode === 'download' ? 'Download' : 'ReadOnlyMount',
        uri: input.path,
      };
    case 'local':
      // cli/submit-azure.ts has refused it.
      throw new Error(`${input.path} is not in a datastore`);
  }
}
