/**
 * @file The YAML of `--offline` for Azure, for the example's configs and every kind of training that config.yaml knows, held to
 * `job-yaml.ts`; and that this check bites.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDocument } from 'yaml';
import { type PipelineJobOptions, pipelineJob } from '../../src/azure/pipeline-job.ts';
import { pipelineJobYaml } from '../../src/azure/pipeline-job-yaml.ts';
import {
  type Graph,
  parseConfig,
  pneumoniaConfigSchema,
  pneumoniaGraph,
  uploadConfigSchema,
  uploadGraph,
} from '../../src/pipelines/index.ts';
import { openCli, pneumoniaConfig, uploadConfig } from '../cli.ts';
import { jobYamlProblems } from './job-yaml.ts';

const examples = join(import.meta.dirname, '..', '..', 'examples');
const example = (path: string): string => readFileSync(join(examples, path), 'utf8');
const OPTIONS: PipelineJobOptions = { fedradVersion: '1.2.3', graphHash: 'a'.repeat(64) };
const yamlOf = (graph: Graph, options: Partial<PipelineJobOptions> = {}) =>
  pipelineJobYaml(pipelineJob(graph, { ...OPTIONS, ...options }));
const pneumonia = (text: string): Graph => pneumoniaGraph(parseConfig(text, pneumoniaConfigSchema, 'config.yaml'));
const upload = (text: string): Graph =>
  uploadGraph(parseConfig(text, uploadConfigSchema, 'upload.yaml'), 'PNEUMONIA', '/data');

/** A config in which these keys of training_parameters are set. */
function trained(parameters: Readonly<Record<string, unknown>>): string {
  const document = parseDocument(example('pneumonia/config.yaml'));
  for (const [key, value] of Object.entries(parameters)) document.setIn(['training_parameters', key], value);
  return String(document);
}

/** One for each key and kind of value. */
const TRAININGS: readonly Readonly<Record<string, unknown>>[] = [
  { recipe: 'recommended' },
  { network: 'small' },
  { network: 'resnet18' },
  { network: { layers: [{ op: 'linear', name: 'fc', out_features: 2 }] } },
  { channels: [8, 16], hidden: 32, image_size: 32 },
  { optimizer: 'adam' },
  { optimizer: { kind: 'adamw', weight_decay: 0.01 } },
  { momentum: 0.5, lr_schedule: 'cosine' },
  { lr_schedule: { kind: 'cosine', warmup_epochs: 1 } },
  { augmentation: { rotation: 7, shift: 0.05 }, class_weights: 'balanced' },
  { class_weights: [1, 2.5], equalise: 0.1, lr: 1e-7 },
  { aggregation: 'mean', strategy: 'fedavgm', server_lr: 0.5, proximal_mu: 0.01 },
  { min_silos: 2, round_deadline_minutes: 1.5, late_updates: 'keep', suspend_after: 3 },
  { threshold: 'youden', early_stopping: { patience: 2 }, num_of_iterations: 3 },
  { baselines: ['alone'] },
  { dp_target_epsilon: 8, dp_target_delta: 1e-6, dp_noise_multiplier: 1.1 },
];

for (const parameters of [{}, ...TRAININGS]) {
  test(`the YAML of pneumonia with ${JSON.stringify(parameters)} is as az asks`, () => {
    assert.deepEqual(jobYamlProblems(yamlOf(pneumonia(trained(parameters)))), []);
  });
}

test('of silos with PyTorch, Kubernetes, mounts and the user as identity', () => {
  const text = example('pneumonia/config.yaml')
    .replace(
      'datastore: datastore_silo1\n',
      'datastore: datastore_silo1\n      trainer: pytorch\n      instance_count: 2\n      instance_type: gpu-large\n',
    )
    .replace('mode: download', 'mode: ro_mount');
  const files = yamlOf(pneumonia(text), { identity: 'user', gpus: () => 4 });
  assert.deepEqual(jobYamlProblems(files), []);
  assert.match(
    files['components/msft_fl_pneumonia_train_in_silo_pytorch.yaml']!,
    /environment: azureml:fedrad-cuda:1\.2\.3/,
  );
});

test('of the upload, from Kaggle, a folder, an archive and phantoms, dealt in any way', () => {
  const texts = [
    example('upload-data/config.yaml'),
    uploadConfig('folder:/data/images'),
    uploadConfig('zip:/data/images.zip'),
    uploadConfig('phantom:24'),
    uploadConfig('kaggle', '  partition: {method: round-robin}\n'),
    uploadConfig('kaggle', '  partition: {label_skew_alpha: 0.3, size_skew: [1, 2, 3.5]}\n'),
    uploadConfig('kaggle', '  seed: 7\n', 12),
  ];
  for (const text of texts) assert.deepEqual(jobYamlProblems(yamlOf(upload(text))), [], text);
});

test('of fifty silos', () => {
  assert.deepEqual(jobYamlProblems(yamlOf(pneumonia(pneumoniaConfig('', 50)))), []);
});

test('--offline writes such files for each example', async (context) => {
  const cli = await openCli(context);
  for (const folder of await readdir(examples, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue;
    for (const file of await readdir(join(examples, folder.name))) {
      const text = example(join(folder.name, file));
      const pipeline = /orchestrator:/.test(text) ? ['pneumonia'] : ['upload-data', '--example', 'PNEUMONIA'];
      const name = `${folder.name}-${file}`;
      const target = ['--target', 'azure', '--offline', '--output', `out-${name}`];
      const submit = ['submit', ...pipeline, '--config', await cli.write(name, text), ...target];
      if (/\n +baselines: .*pooled/.test(text)) {
        // The demonstration's, on one machine.
        assert.match(await cli.fails(...submit), /baselines: pooled needs the data of all hospitals in one place/);
        await cli.write(name, text.replace(', pooled', ''));
      }
      await cli.ok(...submit);
      const out = join(cli.folder, `out-${name}`);
      const written = (await readdir(out, { recursive: true })).filter((each) => each.endsWith('.yaml'));
      const texts = await Promise.all(
        written.map(async (each) => [each, await readFile(join(out, each), 'utf8')] as const),
      );
      assert.deepEqual(jobYamlProblems(Object.fromEntries(texts)), [], name);
    }
  }
});

test('what is broken is found', () => {
  const files = yamlOf(pneumonia(example('pneumonia/config.yaml')));
  const training = 'components/msft_fl_pneumonia_train_in_silo.yaml';
  const broken = (file: string, from: string | RegExp, to: string): string => {
    const changed = files[file]!.replace(from, to);
    assert.notEqual(changed, files[file]);
    return jobYamlProblems({ ...files, [file]: changed }).join('\n');
  };
  const job = (from: string | RegExp, to: string): string => broken('pipeline.yaml', from, to);
  assert.match(job('experiment_name:', 'experimentName:'), /experiment_name[\s\S]*experimentName/);
  assert.match(job('type: pipeline', 'type: command'), /pipeline\.yaml: type/);
  assert.match(job('mode: download', 'mode: mount'), /inputs/);
  assert.match(job('mode: upload', 'mode: ro_mount'), /outputs.*mode/);
  assert.match(job('path: azureml://datastores/', 'path: azureml://stores/'), /silo0_preparation.inputs.data/);
  assert.match(job('compute: azureml:silo0-01', 'compute: /silo0-01'), /compute/);
  assert.match(job(/lr: 0.01/, 'lr: fast'), /input lr: "fast" is no number/);
  assert.match(job(/batch_size: 32/, 'batch_size: 32.5'), /batch_size: 32.5 is no integer/);
  assert.match(job(/ +batch_size: 32\n/, ''), /input batch_size is missing/);
  assert.match(job('parent.jobs.initial_model.', 'parent.jobs.first_model.'), /is no uri_folder/);
  assert.match(job('  silo0_preparation:', '  Silo0:'), /jobs/);
  assert.match(job('train_in_silo.yaml', 'train.yaml'), /there is no .*train\.yaml/);
  assert.match(broken(training, 'environment: azureml:', 'environment: '), /environment/);
  assert.match(
    broken(training, '${{inputs.lr}}', '${{inputs.rate}}'),
    /names inputs\.rate[\s\S]*does not use inputs\.lr/,
  );
  assert.match(broken(training, 'type: number', 'type: float'), /inputs\.\w+\.type/);
});
