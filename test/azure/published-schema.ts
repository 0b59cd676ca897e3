/**
 * @file Holds the YAML of `--offline` for Azure to a JSON schema that Microsoft publishes for `az ml job create --file`:
 *
 *     node test/azure/published-schema.ts [--without <key>]… pipelineJob.schema.json [commandComponent.schema.json]
 *
 * The schemas are Microsoft's and are not kept here (https://azuremlschemas.azureedge.net/latest/…). Prints a line for each YAML: `valid`,
 * or each error with its place. Exit code 1 where one is refused, or where the schema takes a YAML that is broken on purpose. `--without`
 * leaves out a key of the steps that is newer than the schema.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Ajv, type AnySchemaObject, type ErrorObject, type ValidateFunction } from 'ajv';
import { parse } from 'yaml';
import { openCli, uploadConfig } from '../cli.ts';
import { openCleanup } from '../hospitals/tool.ts';

type JobSchema = AnySchemaObject & {
  readonly definitions: Readonly<Record<string, AnySchemaObject>>;
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { without: { type: 'string', multiple: true, default: [] } },
});
const [jobFile, componentFile] = positionals;
if (jobFile === undefined) throw new Error('expected pipelineJob.schema.json: see the head of this file');

const examples = join(import.meta.dirname, '..', '..', 'examples');
const PLACE = [
  ...['--workspace_name', 'aml-fldemo', '--resource_group', 'rg-fldemo'],
  ...['--subscription_id', '44444444-4444-4444-8444-444444444444'],
];
const UPLOAD = ['upload-data', '--example', 'PNEUMONIA'];
const PYTORCH = `
      trainer: pytorch
      process_count_per_instance: 4
      instance_type: gpu-large`;

/** What the schema must refuse. */
const BREAKAGES: readonly (readonly [from: RegExp, to: string])[] = [
  [/^type: pipeline$/m, 'type: training'],
  [/^experiment_name:/m, 'experimentName:'],
  [/mode: upload/, 'mode: sideways'],
  [/instance_count: 1/, 'instance_count: many'],
];

/** Pipelines with their configs. */
async function submissions() {
  const read = (path: string): Promise<string> => readFile(join(examples, path), 'utf8');
  const pneumonia = await read('pneumonia/config.yaml');
  const kubernetes = pneumonia
    .replaceAll(/datastore: datastore_silo\d/g, (own) => own + PYTORCH)
    .replace('mode: download', 'mode: ro_mount')
    .replace('training_parameters:', 'training_parameters:\n  round_deadline_minutes: 90\n  baselines: [alone]');
  return [
    { name: 'upload-data', pipeline: UPLOAD, config: await read('upload-data/config.yaml') },
    { name: 'upload-data of an archive', pipeline: UPLOAD, config: uploadConfig('zip:/data/images.zip') },
    { name: 'pneumonia', pipeline: ['pneumonia'], config: pneumonia },
    { name: 'pneumonia on Kubernetes, PyTorch and GPUs', pipeline: ['pneumonia'], config: kubernetes },
  ];
}

const read = async (file: string): Promise<JobSchema> => JSON.parse(await readFile(file, 'utf8')) as JobSchema;

// The schemas have keywords (arm_type) and formats (integer) of Microsoft's own.
const compile = (schema: AnySchemaObject): ValidateFunction =>
  new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(schema);

const lineOf = ({ instancePath, message = '', params }: ErrorObject): string =>
  `${instancePath || '/'} ${message} ${JSON.stringify(params)}`;

/** What is wrong with a job; with one of its steps, by the schema of those kinds that call a component, the nearest of them. */
function jobProblems(schema: JobSchema): (job: unknown) => string[] {
  const whole = compile(schema);
  const { definitions } = schema;
  const kinds = Object.entries(definitions)
    .filter(([, { properties }]) => properties?.component && properties.type?.enum?.includes('command') !== false)
    .map(([name]) => ({ name, check: compile({ $ref: `#/definitions/${name}`, definitions }) }));
  return (job) => {
    if (whole(job)) return [];
    const problems = whole.errors!.filter(({ instancePath }) => !instancePath.startsWith('/jobs/')).map(lineOf);
    for (const [step, body] of Object.entries((job as { jobs?: object }).jobs ?? {})) {
      const misses = kinds.map(({ name, check }) =>
        check(body) ? [] : check.errors!.map((error) => `/jobs/${step}${lineOf(error)} (${name})`),
      );
      problems.push(...misses.toSorted((a, b) => a.length - b.length)[0]!);
    }
    return problems;
  };
}

const parsed = (text: string): unknown => {
  const job = parse(text) as { jobs: Record<string, Record<string, unknown>> };
  for (const step of Object.values(job.jobs)) for (const key of values.without) delete step[key];
  return job;
};

let refused = 0;
function tell(what: string, problems: readonly string[]): void {
  refused += problems.length;
  console.log(`${what}: ${problems.length === 0 ? 'valid' : `${problems.length} problems`}`);
  for (const problem of problems) console.log(`  ${problem}`);
}

const jobSchema = await read(jobFile);
const problemsOf = jobProblems(jobSchema);
// The schema of a job holds that of a component, which may stand in it.
const componentCheck = compile(
  componentFile === undefined
    ? { $ref: '#/definitions/AnonymousCommandComponentSchema', definitions: jobSchema.definitions }
    : await read(componentFile),
);
const cleanup = openCleanup();
try {
  const cli = await openCli(cleanup);
  for (const { name, pipeline, config } of await submissions()) {
    await cli.write('config.yaml', config);
    const printed = await cli.ok('submit', ...pipeline, '--config', 'config.yaml', ...PLACE, '--offline', '--json');
    const { files } = JSON.parse(printed) as { files: Record<string, string> };
    const { 'pipeline.yaml': job = '', ...components } = files;
    tell(`${name}: pipeline.yaml`, problemsOf(parsed(job)));
    for (const [file, text] of Object.entries(components)) {
      componentCheck(parse(text));
      tell(`${name}: ${file}`, (componentCheck.errors ?? []).map(lineOf));
    }
    for (const [from, to] of BREAKAGES) {
      const broken = job.replace(from, to);
      const found = problemsOf(parsed(broken)).length > problemsOf(parsed(job)).length;
      if (found) console.log(`${name}: ${to}, broken on purpose: refused`);
      else tell(`${name}: ${to}, broken on purpose`, [`taken${broken === job ? ': it is not in the YAML' : ''}`]);
    }
  }
} finally {
  await cleanup.undo();
}
process.exitCode = refused === 0 ? 0 : 1;
