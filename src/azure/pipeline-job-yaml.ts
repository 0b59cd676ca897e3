/**
 * @file A pipeline job as the YAML that `az ml job create --file pipeline.yaml` takes: one file for the job and one for each component,
 * which the job names by its path. Written from the reference of the CLI (v2): "pipeline job YAML schema" and "command component YAML
 * schema"; a step has only the keys that Microsoft's JSON schema knows (docs/azure.md), so no display name and no tags of its own. Pure.
 */
import { stringify } from 'yaml';
import { environmentReference } from './environments.ts';
import type { CommandComponent } from './pipeline-components.ts';
import type { JobInput, JobStep, PipelineJob } from './pipeline-job.ts';

const SCHEMAS = 'https://azuremlschemas.azureedge.net/latest';

/** Texts by path, from the folder that holds `pipeline.yaml`. */
export function pipelineJobYaml(job: PipelineJob): Readonly<Record<string, string>> {
  const components = job.components.map((component) => [componentFile(component), textOf(componentBody(component))]);
  return { 'pipeline.yaml': textOf(jobBody(job)), ...Object.fromEntries(components) };
}

const componentFile = ({ name }: CommandComponent): string => `components/${name}.yaml`;

const textOf = (body: object): string => stringify(body, { lineWidth: 0, aliasDuplicateObjects: false });

const jobBody = ({ displayName, experiment, description, tags, steps, identity }: PipelineJob) => ({
  $schema: `${SCHEMAS}/pipelineJob.schema.json`,
  type: 'pipeline',
  display_name: displayName,
  experiment_name: experiment,
  description,
  tags,
  settings: { continue_on_step_failure: false },
  jobs: Object.fromEntries(steps.map((step) => [step.name, nodeBody(step, identity)])),
});

const nodeBody = (step: JobStep, identity: PipelineJob['identity']) => ({
  type: 'command',
  component: `./${componentFile(step.component)}`,
  compute: `azureml:${step.compute}`,
  identity: { type: identity === 'managed' ? 'managed' : 'user_identity' },
  resources: {
    instance_count: 1,
    ...(step.instanceType === undefined ? {} : { instance_type: step.instanceType }),
  },
  ...(step.timeoutSeconds === undefined ? {} : { limits: { timeout: step.timeoutSeconds } }),
  inputs: Object.fromEntries(
    Object.entries(step.inputs).map(([port, input]) => [
      port,
      inputBody(input, step.component.inputs[port]?.type ?? 'string'),
    ]),
  ),
  outputs: Object.fromEntries(
    Object.entries(step.outputs).map(([name, path]) => [name, { type: 'uri_folder', mode: 'upload', path }]),
  ),
});

function inputBody(input: JobInput, type: string): unknown {
  switch (input.kind) {
    case 'literal':
      return type === 'string' ? input.value : JSON.parse(input.value);
    case 'step':
      return `\${{parent.jobs.${input.step}.outputs.${input.output}}}`;
    case 'path':
      return { type: input.type, mode: input.mode, path: input.path };
    case 'local':
      return { type: input.type, mode: 'download', path: input.path };
  }
}

const componentBody = (component: CommandComponent) => ({
  $schema: `${SCHEMAS}/commandComponent.schema.json`,
  type: 'command',
  ...componentFields(component),
  environment: environmentReference(component),
});

/** What the YAML of a component and the body of the REST API have in common. */
export const componentFields = (component: CommandComponent) => ({
  name: component.name,
  version: component.version,
  display_name: component.displayName,
  description: component.description,
  is_deterministic: component.deterministic,
  inputs: Object.fromEntries(Object.entries(component.inputs).map(([port, input]) => [port, { ...input }])),
  outputs: Object.fromEntries(component.outputs.map((name) => [name, { type: 'uri_folder' }])),
  command: component.command,
});
