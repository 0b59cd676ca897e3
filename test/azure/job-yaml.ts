/**
 * @file What `az ml job create --file` asks of a pipeline job's YAML and of the command components beside it: our own schema, beside
 * Microsoft's, to which published-schema.ts holds the same YAML. Written from the reference of the CLI (v2), "pipeline job YAML schema" and "command component YAML schema", and from the schemas of azure-ai-ml 1.x (Azure/azure-sdk-for-python,
 * `azure/ai/ml/_schema`: pipeline, component, job). Stricter than those: a key that is not here is refused, and what the job names must
 * be there. Only what fedrad writes is in it; it has not been compared with `az`.
 */
import { posix } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

const SCHEMAS = 'https://azuremlschemas.azureedge.net/latest';
const portName = z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/);
const nodeName = z.string().regex(/^[a-z_][a-z0-9_]*$/);
const text = z.string().min(1);
const tags = z.record(z.string(), z.string());
const parameter = z.enum(['string', 'integer', 'number', 'boolean']);
const data = z.enum(['uri_file', 'uri_folder']);

const componentSchema = z.strictObject({
  $schema: z.literal(`${SCHEMAS}/commandComponent.schema.json`),
  type: z.literal('command'),
  name: z.string().regex(/^[a-z_][a-z0-9_]{0,254}$/),
  version: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9.\-_]{0,29}$/),
  display_name: text,
  description: text,
  is_deterministic: z.boolean(),
  inputs: z.record(portName, z.strictObject({ type: z.union([parameter, data]), optional: z.boolean().optional() })),
  outputs: z.record(portName, z.strictObject({ type: data })),
  command: text,
  environment: z.string().regex(/^azureml:[a-zA-Z0-9][\w.-]*:[a-zA-Z0-9][\w.-]*$/),
});

const path = z.string().regex(/^azureml:\/\/datastores\/[^/]+\/paths\/.+$/);
/** Or a file or folder beside the YAML, which `az` uploads. */
const inputPath = z.union([path, z.string().regex(/^(?!azureml:).+$/)]);
const nodeSchema = z.strictObject({
  type: z.literal('command'),
  component: z.string().regex(/^\.\/.+\.yaml$/),
  compute: z.string().regex(/^azureml:[A-Za-z0-9][\w-]*$/),
  identity: z.strictObject({ type: z.enum(['managed', 'user_identity', 'aml_token']) }),
  resources: z.strictObject({ instance_count: z.int().positive(), instance_type: text.optional() }),
  limits: z.strictObject({ timeout: z.int().positive() }).optional(),
  inputs: z.record(
    portName,
    z.union([
      z.string(),
      z.number(),
      z.boolean(),
      z.strictObject({ type: data, mode: z.enum(['ro_mount', 'download', 'direct']), path: inputPath }),
    ]),
  ),
  outputs: z.record(portName, z.strictObject({ type: data, mode: z.enum(['rw_mount', 'upload', 'direct']), path })),
});

const pipelineSchema = z.strictObject({
  $schema: z.literal(`${SCHEMAS}/pipelineJob.schema.json`),
  type: z.literal('pipeline'),
  display_name: text,
  experiment_name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}$/),
  description: text,
  tags,
  settings: z.strictObject({ continue_on_step_failure: z.boolean() }),
  jobs: z.record(nodeName, nodeSchema),
});

type Component = z.infer<typeof componentSchema>;
type Pipeline = z.infer<typeof pipelineSchema>;

/** What is wrong with these files (texts by path); none: `az` would take them, as far as is known here. */
export function jobYamlProblems(files: Readonly<Record<string, string>>): string[] {
  const components = new Map<string, Component>();
  const problems: string[] = [];
  const read = <T>(file: string, schema: z.ZodType<T>): T | undefined => {
    const checked = schema.safeParse(parse(files[file] ?? ''));
    if (checked.success) return checked.data;
    problems.push(...checked.error.issues.map((issue) => `${file}: ${issue.path.join('.')}: ${issue.message}`));
    return undefined;
  };
  for (const file of Object.keys(files)) {
    if (file === 'pipeline.yaml') continue;
    const component = read(file, componentSchema);
    if (!component) continue;
    components.set(file, component);
    problems.push(...commandProblems(component).map((problem) => `${file}: ${problem}`));
  }
  const pipeline = read('pipeline.yaml', pipelineSchema);
  if (pipeline) problems.push(...nodeProblems(pipeline, components));
  return problems;
}

/** Every port is used, and what is optional stands in `$[[ ]]`, as the reference asks. */
function commandProblems({ command, inputs, outputs }: Component): string[] {
  const known = [
    ...Object.keys(inputs).map((port) => `inputs.${port}`),
    ...Object.keys(outputs).map((port) => `outputs.${port}`),
  ];
  const used = [...command.matchAll(/\$\{\{(.*?)\}\}/g)].map(([, name]) => name!);
  const always = command.replaceAll(/\$\[\[.*?\]\]/g, '');
  return [
    ...used.filter((name) => !known.includes(name)).map((name) => `the command names ${name}, which is not there`),
    ...known.filter((name) => !used.includes(name)).map((name) => `the command does not use ${name}`),
    ...Object.entries(inputs)
      .filter(([port, { optional }]) => optional && always.includes(`\${{inputs.${port}}}`))
      .map(([port]) => `input ${port} is optional, and the command needs it`),
  ];
}

function nodeProblems({ jobs }: Pipeline, components: ReadonlyMap<string, Component>): string[] {
  const problems: string[] = [];
  const before = new Map<string, Pipeline['jobs'][string]>();
  for (const [key, node] of Object.entries(jobs)) {
    const say = (problem: string): void => void problems.push(`pipeline.yaml: jobs.${key}: ${problem}`);
    const component = components.get(posix.normalize(node.component));
    if (!component) {
      say(`there is no ${node.component}`);
      continue;
    }
    for (const port of Object.keys(node.inputs))
      if (!component.inputs[port]) say(`${component.name} has no input ${port}`);
    for (const [port, { type, optional }] of Object.entries(component.inputs)) {
      const value = node.inputs[port];
      if (value === undefined && !optional) say(`input ${port} is missing`);
      if (value !== undefined && !fits(value, type, before))
        say(`input ${port}: ${JSON.stringify(value)} is no ${type}`);
    }
    if (Object.keys(node.outputs).sort().join() !== Object.keys(component.outputs).sort().join())
      say(`its outputs are not those of ${component.name}`);
    before.set(key, node);
  }
  return problems;
}

type Value = Pipeline['jobs'][string]['inputs'][string];

/** Whether a value may stand at a port of this type; another step's output only where that step stands before. */
function fits(
  value: Value,
  type: Component['inputs'][string]['type'],
  before: ReadonlyMap<string, Pipeline['jobs'][string]>,
): boolean {
  if (typeof value === 'object') return value.type === type;
  if (type === 'uri_file' || type === 'uri_folder') {
    const [, node = '', output = ''] = /^\$\{\{parent\.jobs\.(\w+)\.outputs\.(\w+)\}\}$/.exec(String(value)) ?? [];
    return before.get(node)?.outputs[output]?.type === type;
  }
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}
