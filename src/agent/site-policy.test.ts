import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Work, workSchema } from '../messaging/index.ts';
import { parseConfig, pneumoniaConfigSchema, pneumoniaGraph, type Step } from '../pipelines/index.ts';
import { checkWork, type Site } from './site-policy.ts';

const site: Site = {
  compute: 'silo0-01',
  datastores: ['datastore_silo0'],
  kaggleUrl: 'https://www.kaggle.com',
};
const output = (datastore: string) => ({
  path: `azureml://datastores/${datastore}/paths/x`,
  sha256: 'a'.repeat(64),
  bytes: 1,
});
const workOf = (step: Step, change: Partial<Step> = {}): Work =>
  workSchema.parse({
    kind: 'work',
    run: 'calm_lung_7f3k2q',
    attempt: 1,
    step: { ...step, ...change },
    inputs: Object.fromEntries(
      Object.entries(step.inputs).flatMap(([name, input]) =>
        input.from === 'step'
          ? [[name, output(name.startsWith('data') ? 'datastore_silo0' : 'datastore_orchestrator')]]
          : [],
      ),
    ),
    redone: false,
  });

const config = `
federated_learning:
  orchestrator: {compute: orchestrator-01, datastore: datastore_orchestrator}
  silos:
    - name: silo0
      computes: [silo0-01]
      datastore: datastore_silo0
      silo_data: {type: uri_folder, mode: download, path: azureml://datastores/datastore_silo0/paths/federated_learning/pneumonia}
training_parameters: {num_of_iterations: 2, epochs: 1, baselines: [alone]}
`;
const { steps } = pneumoniaGraph(parseConfig(config, pneumoniaConfigSchema, 'config.yaml'));
const stepOf = (id: string): Step => steps.find((step) => step.id === id)!;
const preparation = stepOf('silo0_preparation');
const training = stepOf('iteration_1_silo0_training');

test('every step that the pneumonia graph has in a hospital is allowed', () => {
  const own = steps.filter(({ compute }) => compute === site.compute);
  assert.equal(own.length, 7);
  for (const step of own) checkWork(workOf(step), site);
});

test('what the table does not have is refused', () => {
  const foreign = 'azureml://datastores/datastore_orchestrator/paths/x/${{name}}/';
  // The run's name would be the hospital's own folder.
  assert.throws(() => checkWork({ ...workOf(preparation), run: 'pneumonia' }, site), /another name than fedrad gives/);
  const cases: [string, Step, Partial<Step>, RegExp][] = [
    ['another compute', training, { compute: 'silo1-01' }, /it is for silo1-01/],
    ['a component of the orchestrator', stepOf('initial_model'), { compute: 'silo0-01' }, /does not run in a hospital/],
    ["somebody else's data", preparation, { inputs: { data: { from: 'datastore', path: foreign } } }, /somebody else/],
    ['prepared images that leave', preparation, { outputs: { prepared_data: foreign } }, /must not leave/],
    [
      'an output over the data',
      preparation,
      { outputs: { prepared_data: 'azureml://datastores/datastore_silo0/paths/federated_learning/pneumonia' } },
      /folder of its run/,
    ],
    [
      'a path that leads out',
      preparation,
      { outputs: { prepared_data: 'azureml://datastores/datastore_silo0/paths/../calm_lung_7f3k2q' } },
      /\.\./,
    ],
    ['an output of another name', training, { outputs: { '../model': foreign } }, /expected the outputs model/],
    [
      'an input that is an option',
      training,
      { inputs: { 'data_x=/etc': { from: 'local', path: '/etc' } } },
      /no such input/,
    ],
    [
      'a local file',
      training,
      { inputs: { ...training.inputs, data_x: { from: 'local', path: '/etc' } } },
      /only data upload/,
    ],
    ['the network', training, { network: true }, /network/],
    ['a secret', training, { secrets: ['kagglekey'] }, /secret/],
    ['a replacement', preparation, { replace: true }, /replace/],
    ["somebody else's cache", preparation, { cache: foreign }, /cache/],
    [
      'a cache over the data',
      preparation,
      { cache: 'azureml://datastores/datastore_silo0/paths/federated_learning/pneumonia' },
      /cache/,
    ],
    ['a parameter', preparation, { parameters: { image_size: 'x' } }, /image_size/],
  ];
  for (const [what, step, change, expected] of cases) {
    assert.throws(() => checkWork(workOf(step, change), site), expected, what);
  }
});

test('data from elsewhere, an input that is no input, and a missing one are refused', () => {
  const work = workOf(training);
  const from = (inputs: Work['inputs']) => () => checkWork({ ...work, inputs }, site);
  assert.throws(from({ ...work.inputs, data_silo0: output('datastore_orchestrator') }), /somebody else/);
  assert.throws(from({ ...work.inputs, other: output('datastore_silo0') }), /does not have/);
  assert.throws(from({ data_silo0: output('datastore_silo0') }), /checkpoint did not come/);
});

test("Kaggle's credentials go to Kaggle only", () => {
  const upload = (baseUrl: string): Work =>
    workOf(
      {
        ...preparation,
        ...{ id: 'u', component: 'upload-data', inputs: {}, replace: true, network: true },
        outputs: { raw_data_folder: 'azureml://datastores/datastore_silo0/paths/federated_learning/pneumonia' },
        parameters: {
          source: { kind: 'kaggle', baseUrl, dataset: 'a/b' },
          ...{ silo_index: 0, silo_count: 3, partition: { method: 'patient-disjoint' }, seed: 1 },
        },
        secrets: ['kaggleusername', 'kagglekey'],
      },
      { cache: undefined } as never,
    );
  checkWork(upload('https://www.kaggle.com'), site);
  assert.throws(() => checkWork(upload('https://example.org'), site), /Kaggle address/);
});
