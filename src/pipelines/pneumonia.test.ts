import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { augmentationSchema } from '../engine/index.ts';
import { parseConfig } from './check-config.ts';
import { pneumoniaConfigSchema, uploadConfigSchema } from './config.ts';
import { graphHash, graphSchema } from './graph.ts';
import { pneumoniaGraph } from './pneumonia.ts';
import { uploadGraph } from './upload-data.ts';

const NO_AUGMENTATION = augmentationSchema.parse({});
const examples = join(import.meta.dirname, '..', '..', 'examples');
const text = (path: string): string => readFileSync(join(examples, path), 'utf8');
const graphOf = (change: (text: string) => string = (same) => same) =>
  pneumoniaGraph(parseConfig(change(text('pneumonia/config.yaml')), pneumoniaConfigSchema, 'config.yaml'));

test('two iterations over three silos: prepare, draw, train side by side, aggregate, evaluate, collect', () => {
  const graph = graphOf();
  assert.equal(graph.experiment, 'fl_demo_pneumonia');
  assert.deepEqual(
    graph.steps.map(({ id, compute }) => `${id} @ ${compute}`),
    [
      ...[0, 1, 2].map((i) => `silo${i}_preparation @ silo${i}-01`),
      'initial_model @ orchestrator-01',
      ...[1, 2].flatMap((iteration) => [
        ...[0, 1, 2].map((i) => `iteration_${iteration}_silo${i}_training @ silo${i}-01`),
        `iteration_${iteration}_aggregation @ orchestrator-01`,
        ...[0, 1, 2].map((i) => `iteration_${iteration}_silo${i}_evaluation @ silo${i}-01`),
      ]),
      'evidence @ orchestrator-01',
    ],
  );
  const training = graph.steps.find(({ id }) => id === 'iteration_2_silo1_training')!;
  assert.deepEqual(training.inputs['checkpoint'], {
    from: 'step',
    step: 'iteration_1_aggregation',
    output: 'aggregated_output',
  });
  assert.deepEqual(training.outputs, {
    model: 'azureml://datastores/datastore_orchestrator/paths/federated_learning/model/silo1/${{name}}/iteration_2/',
  });
});

test("a silo's training sees its own data only; no step but the upload has network or secrets", () => {
  for (const step of graphOf((config) => `${config}\n  baselines: [alone]`).steps) {
    assert.deepEqual([step.network, step.secrets], [false, []]);
    if (step.component !== 'train-in-silo') continue;
    const silo = step.compute.replace('-01', '');
    assert.deepEqual(
      Object.keys(step.inputs).filter((name) => name.startsWith('data_')),
      [`data_${silo}`],
    );
  }
});

test('the graph is JSON, depends on the config alone and its hash changes with it', () => {
  const graph = graphOf();
  assert.deepEqual(graphSchema.parse(JSON.parse(JSON.stringify(graph))), graph);
  assert.equal(graphHash(graphOf()), graphHash(graph));
  assert.notEqual(graphHash(graphOf((config) => config.replace('lr: 0.01', 'lr: 0.02'))), graphHash(graph));
});

test('with fewer silos needed than there are, a silo may fail', () => {
  const graph = graphOf((config) => `${config}\n  min_silos: 2`);
  const aggregation = graph.steps.find(({ id }) => id === 'iteration_1_aggregation')!;
  assert.deepEqual(aggregation.minInputs, { prefix: 'input_silo_', count: 2 });
  assert.equal(aggregation.optional, false);
  assert.ok(graph.steps.filter(({ component }) => component === 'train-in-silo').every(({ optional }) => optional));
});

test('baselines add a model of each hospital alone and of all data pooled, evaluated everywhere', () => {
  const graph = graphOf((config) => `${config}\n  baselines: [alone, pooled]`);
  const pooled = graph.steps.find(({ id }) => id === 'pooled_training')!;
  assert.deepEqual(Object.keys(pooled.inputs), ['data_silo0', 'data_silo1', 'data_silo2', 'checkpoint']);
  const evaluation = graph.steps.find(({ id }) => id === 'comparison_silo2_evaluation')!;
  assert.deepEqual(Object.keys(evaluation.inputs), [
    'data',
    'model_silo0_alone',
    'model_silo1_alone',
    'model_silo2_alone',
    'model_pooled',
  ]);
});

test('a training step has every parameter of its training; comparisons have one schedule of the same length', () => {
  const graph = graphOf(
    (config) => `${config}
  baselines: [pooled]
  optimizer: {kind: sgd, nesterov: true}
  lr_schedule: {kind: cosine, warmup_epochs: 1}
  class_weights: balanced
  augmentation: {rotation: 15}
  equalise: 0.1
  threshold: sensitivity:0.95`,
  );
  const parameters = (id: string) => graph.steps.find((step) => step.id === id)!.parameters;
  const { metrics_prefix: _name, ...second } = parameters('iteration_2_silo1_training');
  assert.deepEqual(second, {
    iteration_num: 2,
    num_of_iterations: 2,
    epochs: 5,
    lr: 0.01,
    lr_schedule: { kind: 'cosine', min_factor: 0, warmup_epochs: 1 },
    batch_size: 32,
    optimizer: { kind: 'sgd', momentum: 0.9, nesterov: true, weight_decay: 0 },
    class_weights: 'balanced',
    augmentation: { ...NO_AUGMENTATION, rotation: 15 },
    proximal_mu: 0,
    seed: 31415,
  });
  const { iteration_num: first, num_of_iterations: iterations, epochs } = parameters('pooled_training');
  assert.deepEqual([first, iterations, epochs], [1, 1, 10]);
  assert.equal(parameters('iteration_1_silo0_evaluation')['threshold'], 0.5);
  assert.deepEqual(parameters('evidence')['training'], {
    recipe: 'seed',
    network: 'pneumonia',
    optimizer: second['optimizer'],
    lr_schedule: second['lr_schedule'],
    class_weights: 'balanced',
    augmentation: second['augmentation'],
    equalise: 0.1,
    threshold: 'sensitivity:0.95',
  });
});

test('with early stopping an aggregation knows how its checkpoint did on the validation images', () => {
  const graph = graphOf((config) => `${config}\n  early_stopping: {patience: 3}`);
  const aggregation = (iteration: number) => graph.steps.find(({ id }) => id === `iteration_${iteration}_aggregation`)!;
  const evaluations = (iteration: number) =>
    Object.entries(aggregation(iteration).inputs).filter(([name]) => name.startsWith('evaluation_'));
  assert.deepEqual(evaluations(1), []);
  assert.deepEqual(
    evaluations(2),
    [0, 1, 2].map((i) => [
      `evaluation_${i + 1}`,
      { from: 'step', step: `iteration_1_silo${i}_evaluation`, output: 'evaluation' },
    ]),
  );
  assert.equal(aggregation(2).parameters['patience'], 3);
  assert.deepEqual(
    graphOf().steps.flatMap(({ component, inputs }) =>
      component === 'aggregate-model-weights' ? Object.keys(inputs) : [],
    ),
    [1, 2].flatMap(() => ['checkpoint', 'input_silo_1', 'input_silo_2', 'input_silo_3']),
  );
});

test("a hospital's trainer is that of all its training steps, and nobody else's", () => {
  const silo0 = 'datastore: datastore_silo0\n      trainer: pytorch\n      process_count_per_instance: 2\n';
  const graph = graphOf((config) =>
    `${config}\n  baselines: [alone, pooled]`.replace('datastore: datastore_silo0\n', silo0),
  );
  assert.deepEqual(
    graph.steps
      .filter(({ component }) => component === 'train-in-silo-pytorch')
      .map(({ id, parameters }) => [id, parameters['process_count_per_instance']]),
    ['iteration_1_silo0_training', 'iteration_2_silo0_training', 'silo0_alone_training'].map((id) => [id, 2]),
  );
  const others = graph.steps.filter(({ component }) => component === 'train-in-silo');
  assert.equal(others.length, 7);
  for (const { parameters } of others) assert.ok(!('process_count_per_instance' in parameters));
});

test('data upload: one step a silo, with the secrets and network only where the source is Kaggle', () => {
  const upload = (data: string) =>
    uploadGraph(
      parseConfig(text('upload-data/config.yaml') + data, uploadConfigSchema, 'config.yaml'),
      'PNEUMONIA',
      '/here',
    );
  const kaggle = upload('').steps[1]!;
  assert.deepEqual(
    [kaggle.id, kaggle.compute, kaggle.network, kaggle.secrets],
    ['silo_1_upload_data', 'silo1-01', true, ['kaggleusername', 'kagglekey']],
  );
  assert.deepEqual(kaggle.outputs, {
    raw_data_folder: 'azureml://datastores/datastore_silo1/paths/federated_learning/pneumonia/',
  });
  const folder = upload('\ndata:\n  source: folder:images\n  partition:\n    method: round-robin\n').steps[2]!;
  assert.deepEqual(
    [folder.network, folder.secrets, folder.inputs],
    [false, [], { source: { from: 'local', path: '/here/images' } }],
  );
  assert.deepEqual(folder.parameters['partition'], { method: 'round-robin' });
  assert.throws(() => upload('\ndata:\n  source: s3:bucket\n'), /source: expected kaggle.*azureml:\/\/datastores/);
});

test('data upload from a datastore: one for all is dealt, of its own each silo keeps all', () => {
  const upload = (source: string, more = '') =>
    uploadGraph(
      parseConfig(
        `${text('upload-data/config.yaml')}\ndata:\n  source: ${source}\n${more}`,
        uploadConfigSchema,
        'config.yaml',
      ),
      'PNEUMONIA',
      '/here',
    ).steps[1]!;
  const own = upload('azureml://datastores/${{silo.datastore}}/paths/incoming/2026/');
  assert.deepEqual(
    [own.inputs, own.parameters['source'], own.network, own.secrets],
    [
      { source: { from: 'datastore', path: 'azureml://datastores/datastore_silo1/paths/incoming/2026' } },
      { kind: 'folder', own: true },
      false,
      [],
    ],
  );
  const shared = upload('azureml://datastores/datastore_orchestrator/paths/all.zip');
  assert.deepEqual(
    [shared.inputs, shared.parameters['source']],
    [
      { source: { from: 'datastore', path: 'azureml://datastores/datastore_orchestrator/paths/all.zip' } },
      { kind: 'zip' },
    ],
  );
  assert.throws(
    () => upload('azureml://datastores/datastore_silo0/paths/all.zip'),
    /data\.source: datastore_silo0 is one silo's own, and silo1-01 may not read it/,
  );
  assert.throws(() => upload('azureml://all.zip'), /data\.source: expected a path in a datastore/);
  assert.throws(
    () => upload('azureml://datastores/${{silo.datastore}}/paths/a', '  partition:\n    label_skew_alpha: 1\n'),
    /label_skew_alpha: a skew does not apply where each silo has its own images/,
  );
});
