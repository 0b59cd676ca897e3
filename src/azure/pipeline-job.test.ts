import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pneumoniaConfig, uploadConfig } from '../../test/cli.ts';
import {
  parseConfig,
  pneumoniaConfigSchema,
  pneumoniaGraph,
  uploadConfigSchema,
  uploadGraph,
} from '../pipelines/index.ts';
import { type PipelineJob, type PipelineJobOptions, pipelineJob } from './pipeline-job.ts';
import { jobBody, workspaceParts } from './pipeline-job-rest.ts';

interface Sites {
  /** Lines of the second silo. */
  readonly silo1?: readonly string[];
  readonly mode?: string;
  readonly training?: readonly string[];
  readonly silos?: number;
}

const configOf = ({ silo1 = [], mode = 'download', training = [], silos = 3 }: Sites): string =>
  pneumoniaConfig(training.map((line) => `  ${line}\n`).join(''), silos)
    .replaceAll('mode: download', `mode: ${mode}`)
    .replace(
      /( +)datastore: datastore_silo1\n/,
      (line, indent) => line + silo1.map((more) => `${indent}${more}\n`).join(''),
    );

const OPTIONS: PipelineJobOptions = { fedradVersion: '1.2.3', graphHash: 'a'.repeat(64) };

const jobOf = (sites: Sites = {}, options: Partial<PipelineJobOptions> = {}): PipelineJob =>
  pipelineJob(pneumoniaGraph(parseConfig(configOf(sites), pneumoniaConfigSchema, 'config.yaml')), {
    ...OPTIONS,
    ...options,
  });

const part = workspaceParts({ subscriptionId: 's', resourceGroup: 'r', workspaceName: 'w' });
const nodesOf = (job: PipelineJob) =>
  jobBody(job, part).properties as unknown as { jobs: Record<string, Record<string, unknown>> };
const stepOf = (job: PipelineJob, id: string) => job.steps.find((step) => step.id === id)!;
const TRAINING = 'iteration_1_silo1_training';

test('a step that reads a datastore path is never taken over from an earlier run: what lies there may have changed', () => {
  const upload = parseConfig(
    uploadConfig('azureml://datastores/${{silo.datastore}}/paths/incoming'),
    uploadConfigSchema,
    'upload.yaml',
  );
  const jobs = [jobOf(), pipelineJob(uploadGraph(upload, 'PNEUMONIA', '/'), OPTIONS)];
  for (const { steps } of jobs) {
    const reading = steps.filter(({ inputs }) => Object.values(inputs).some(({ kind }) => kind === 'path'));
    assert.equal(reading.length, 3);
    for (const { id, component } of reading) assert.equal(component.deterministic, false, id);
  }
  // What has all it needs from other steps may be.
  assert.equal(stepOf(jobOf(), TRAINING).component.deterministic, true);
});

test('names, experiment and tags are those of the example, and say what was submitted', () => {
  const job = jobOf();
  assert.equal(job.experiment, 'fl_demo_pneumonia');
  assert.deepEqual(job.tags, { fedrad: '1.2.3', fedrad_graph: 'a'.repeat(64), fedrad_pipeline: 'pneumonia' });
  assert.deepEqual(nodesOf(job).jobs[TRAINING]!['tags'], { fedrad_step: TRAINING });
  assert.deepEqual(job.notes, []);
});

test('a silo with PyTorch has its environment, and a process for each GPU of its compute unless the config says how many', () => {
  const gpus = (compute: string): number => (compute === 'silo1-01' ? 4 : 0);
  const processes = (...silo1: string[]) => {
    const { component, inputs } = stepOf(jobOf({ silo1: ['trainer: pytorch', ...silo1] }, { gpus }), TRAINING);
    assert.equal(component.environment, 'cuda');
    return inputs['process_count_per_instance'];
  };
  assert.deepEqual(processes(), { kind: 'literal', value: '4' });
  for (const value of ['1', '2'])
    assert.deepEqual(processes(`process_count_per_instance: ${value}`), { kind: 'literal', value });
  const job = jobOf({ silo1: ['trainer: pytorch'] }, { gpus });
  // fedrad-step starts the processes of a node itself.
  assert.equal(nodesOf(job).jobs[TRAINING]!['distribution'], undefined);
  assert.equal(stepOf(job, 'iteration_1_silo0_training').component.environment, 'cpu');
});

test('an instance type goes to Kubernetes; of several nodes one is asked for, and that is said', () => {
  const job = jobOf({ silo1: ['instance_type: gpu-large', 'instance_count: 2'] });
  assert.deepEqual(nodesOf(job).jobs[TRAINING]!['resources'], { instance_count: 1, instance_type: 'gpu-large' });
  assert.deepEqual(nodesOf(job).jobs['iteration_1_silo0_training']!['resources'], { instance_count: 1 });
  assert.match(job.notes.join('\n'), /^instance_count: .*one node/);
});

test('what a round survives elsewhere and not on Azure ML is said; its deadline is a limit of the steps at silos', () => {
  const job = jobOf({
    training: ['min_silos: 2', 'round_deadline_minutes: 1.5', 'late_updates: keep', 'suspend_after: 3'],
  });
  assert.match(job.notes.join('\n'), /min_silos: .*fails with it/);
  assert.match(job.notes.join('\n'), /late_updates and suspend_after have no effect/);
  assert.match(job.notes.join('\n'), /round_deadline_minutes: .*the run with it/);
  const { jobs } = nodesOf(job);
  assert.deepEqual(jobs[TRAINING]!['limits'], { job_limits_type: 'Command', timeout: 'PT90S' });
  assert.equal(jobs['iteration_1_aggregation']!['limits'], undefined);
});

test('modes of config.yaml are those of Azure ML, and one that gives no folder is refused', () => {
  const modeOf = (mode: string): unknown => {
    const inputs = Object.values(nodesOf(jobOf({ mode })).jobs['silo0_preparation']!['inputs'] as object);
    return inputs.find((input) => input.uri !== undefined)?.mode;
  };
  assert.deepEqual(['download', 'mount', 'ro_mount'].map(modeOf), ['Download', 'ReadOnlyMount', 'ReadOnlyMount']);
  assert.throws(() => jobOf({ mode: 'direct' }), /mode: .*use download or ro_mount/);
});

test('each step runs as its compute, or as whoever submits', () => {
  const identities = (job: PipelineJob) => [
    ...new Set(Object.values(nodesOf(job).jobs).map(({ identity }) => (identity as { type: string }).type)),
  ];
  assert.deepEqual(identities(jobOf()), ['managed_identity']);
  assert.deepEqual(identities(jobOf({}, { identity: 'user' })), ['user_identity']);
});

test('fifty silos share the components of three, and every step has a name of its own', () => {
  const job = jobOf({ silos: 50 });
  assert.equal(job.components.length, jobOf().components.length);
  assert.equal(new Set(job.steps.map(({ name }) => name)).size, job.steps.length);
  for (const { compute, id } of job.steps) {
    const silo = /silo(\d+)/.exec(id)?.[1];
    assert.equal(compute, silo === undefined ? 'orchestrator-01' : `silo${silo}-01`);
  }
});
