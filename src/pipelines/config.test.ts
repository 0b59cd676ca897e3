import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from './check-config.ts';
import { pneumoniaConfigSchema, uploadConfigSchema } from './config.ts';

/** The Azure ML example's config, with its odd parts: an empty `aml:`, a comment glued to the last value. */
const SILO = (index: number) => `
    - name: silo${index}
      computes:
      - silo${index}-01 # name of the compute
      datastore: datastore_silo${index}
      silo_data:
        type: uri_folder
        mode: 'download'
        path: azureml://datastores/datastore_silo${index}/paths/federated_learning/pneumonia
`;
const EXAMPLE = `
aml:
  # subscription_id: "<SUBSCRIPTION_ID>"
federated_learning:
  orchestrator:
    compute: "orchestrator-01"
    datastore: "datastore_orchestrator"
  silos:${SILO(0)}${SILO(1)}${SILO(2)}
training_parameters:
  num_of_iterations: 2
  epochs: 5
  lr: 0.01
  batch_size: 32
  dp: false # off
  dp_target_epsilon: 50.0
  dp_target_delta: 1e-5
  dp_max_grad_norm: 1.0
  # dp_noise_multiplier: 1.0 # no newline at the end`;

const UPLOAD = `
aml:
federated_learning:
  host:
    compute: orchestrator-01
    datastore: datastore_orchestrator
  silos:
    - compute: silo0-01
      datastore: datastore_silo0
confidentiality:
  enable: false
  keyvault: https://kv-fldemo.vault.azure.net
  key_name: dev-rsa-key
`;

const pneumonia = (text: string) => parseConfig(text, pneumoniaConfigSchema, 'config.yaml');

test("the Azure ML example's config is read as it is, and fedrad's own keys have their defaults", () => {
  const { aml, federated_learning: federated, training_parameters: training } = pneumonia(EXAMPLE);
  assert.deepEqual(aml, {});
  assert.deepEqual(
    federated.silos.map(({ name, computes }) => [name, computes]),
    [0, 1, 2].map((i) => [`silo${i}`, [`silo${i}-01`]]),
  );
  assert.equal(training.dp_target_delta, 1e-5);
  assert.deepEqual(
    [training.seed, training.image_size, training.aggregation, training.strategy, training.baselines],
    [31415, 224, 'examples', 'fedavg', []],
  );
  const upload = parseConfig(UPLOAD, uploadConfigSchema, 'config.yaml');
  assert.deepEqual(upload.data, {
    source: 'kaggle',
    kaggle_url: 'https://www.kaggle.com',
    partition: { method: 'patient-disjoint' },
    phantom_size: 128,
    seed: 31415,
  });
});

for (const [name, change, message] of [
  [
    'an unknown key',
    ['batch_size: 32', 'batchsize: 32'],
    'config.yaml: training_parameters.batchsize: unknown key (did you mean batch_size?',
  ],
  [
    'an unknown key in a list',
    ['datastore: datastore_silo1\n', 'datastor: datastore_silo1\n'],
    'config.yaml: federated_learning.silos[1].datastor: unknown key; 1 more after this one (did you mean datastore?',
  ],
  ['a wrong type', ['lr: 0.01', 'lr: "0.01"'], 'config.yaml: training_parameters.lr: expected number, received string'],
  ['a value out of range', ['epochs: 5', 'epochs: 0'], 'config.yaml: training_parameters.epochs: '],
  [
    'differential privacy',
    ['dp: false', 'dp: true'],
    'config.yaml: training_parameters.dp: differential privacy (dp: true) is not available in this version (set dp: false',
  ],
  [
    'two silos of one name',
    ['name: silo1', 'name: silo0'],
    'config.yaml: federated_learning.silos[1].name: "silo0" is also the name of silos[0]',
  ],
  [
    'too many needed silos',
    ['epochs: 5', 'min_silos: 4'],
    'config.yaml: training_parameters.min_silos: 4 is more than the 3 silos',
  ],
  ['broken YAML', ['silos:', 'silos: ]'], 'config.yaml: not valid YAML'],
] as const) {
  test(`bad config in one line: ${name}`, () => {
    const text = EXAMPLE.replace(change[0], change[1]);
    assert.notEqual(text, EXAMPLE);
    assert.throws(
      () => pneumonia(text),
      (error: Error) => {
        assert.ok(error.message.startsWith(message), error.message);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  });
}

test('zero silos, a missing section and encryption are refused', () => {
  const none = EXAMPLE.replace(/silos:[\s\S]*\ntraining_parameters/, 'silos: []\ntraining_parameters');
  assert.throws(() => pneumonia(none), /config.yaml: federated_learning.silos: expected at least one silo/);
  assert.throws(() => pneumonia('aml:\n'), /config.yaml: federated_learning: missing, expected object/);
  assert.throws(() => pneumonia(''), /federated_learning: missing/);
  const encrypted = UPLOAD.replace('enable: false', 'enable: true');
  assert.throws(
    () => parseConfig(encrypted, uploadConfigSchema, 'upload.yaml'),
    /upload.yaml: confidentiality.enable: encryption of the data .* is not available/,
  );
});
