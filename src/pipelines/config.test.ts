import assert from 'node:assert/strict';
import { test } from 'node:test';
import { augmentationSchema, parameterShapes, pneumoniaNetwork, sgd, smallNetwork } from '../engine/index.ts';
import { parseConfig } from './check-config.ts';
import { checkOwnData, pneumoniaConfigSchema, uploadConfigSchema } from './config.ts';
import { RECIPES } from './recipes.ts';
import { networkName, networkOf, optimiserOf, scheduleOf } from './training.ts';

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
  [
    'an unknown optimiser',
    ['lr: 0.01', 'optimizer: rmsprop'],
    'config.yaml: training_parameters.optimizer: expected sgd, adam, adamw, or an object with its kind, got "rmsprop" (change',
  ],
  [
    'an unknown kind of optimiser',
    ['lr: 0.01', 'optimizer: {kind: rmsprop}'],
    'config.yaml: training_parameters.optimizer.kind: expected one of sgd, adam, adamw, got {"kind":"rmsprop"} (change',
  ],
  [
    'an unknown option of an optimiser',
    ['lr: 0.01', 'optimizer: {kind: adamw, weightdecay: 0.1}'],
    'config.yaml: training_parameters.optimizer.weightdecay: unknown key (did you mean weight_decay?',
  ],
  [
    'an option out of range',
    ['lr: 0.01', 'optimizer: {kind: adamw, betas: [0.9, 1]}'],
    'config.yaml: training_parameters.optimizer.betas[1]: too big',
  ],
  [
    'momentum of Adam',
    ['lr: 0.01', 'optimizer: adam\n  momentum: 0.5'],
    'config.yaml: training_parameters.momentum: it goes with the word sgd as optimizer only (put it into',
  ],
  [
    'a schedule without its step size',
    ['lr: 0.01', 'lr_schedule: {kind: step}'],
    'config.yaml: training_parameters.lr_schedule.step_size: missing, expected number (add it)',
  ],
  [
    'an unknown network',
    ['lr: 0.01', 'network: resnet50'],
    'config.yaml: training_parameters.network: expected pneumonia, small, resnet18, or an object with layers',
  ],
  [
    'channels of another network',
    ['lr: 0.01', 'network: small\n  channels: [8, 8, 8]'],
    'config.yaml: training_parameters.channels: it is of the pneumonia network (remove it, or',
  ],
  [
    'an unknown layer',
    ['lr: 0.01', 'network: {layers: [{op: flatten}]}'],
    'config.yaml: training_parameters.network.layers[0].op: expected one of conv2d, max_pool2d,',
  ],
  [
    'a mistyped option of a layer',
    ['lr: 0.01', 'network: {layers: [{op: linear, name: fc, out_feature: 2}]}'],
    'config.yaml: training_parameters.network.layers[0].out_feature: unknown key',
  ],
  [
    'a mistyped network',
    ['lr: 0.01', 'network: resnet'],
    'config.yaml: training_parameters.network: expected pneumonia, small, resnet18, or an object with layers, got "resnet" (did you mean resnet18?)',
  ],
  [
    'an option of another optimiser',
    ['lr: 0.01', 'optimizer: {kind: adam, momentum: 0.9}'],
    'config.yaml: training_parameters.optimizer.momentum: unknown key (did you mean betas? known here: kind, betas, eps, weight_decay)',
  ],
  [
    'a network that no memory holds',
    [
      'lr: 0.01',
      'network: {layers: [{op: linear, name: a, out_features: 8192}, {op: linear, name: b, out_features: 2}]}',
    ],
    'config.yaml: training_parameters.network.layers: they have 411066370 parameters, at most 268435456 can be trained (change the layers)',
  ],
  [
    'a wrong type in a layer',
    ['lr: 0.01', 'network: {layers: [{op: conv2d, name: a, out_channels: 8, kernel_size: "3"}]}'],
    'config.yaml: training_parameters.network.layers[0].kernel_size: expected number or tuple, got "3" (change',
  ],
  [
    'layers that do not end in two logits',
    ['lr: 0.01', 'network: {layers: [{op: linear, name: fc, out_features: 3}]}'],
    'config.yaml: training_parameters.network.layers: the last layer must be linear with out_features: 2',
  ],
  [
    'more halvings than pixels',
    ['lr: 0.01', 'image_size: 16\n  channels: [8, 8, 8, 8, 8]'],
    'config.yaml: training_parameters.image_size: a kernel of 2x2 does not fit 1x1 pixels',
  ],
  [
    'an unknown augmentation',
    ['lr: 0.01', 'augmentation: {shift: 0.1, flip: true}'],
    'config.yaml: training_parameters.augmentation.flip: unknown key (did you mean',
  ],
  [
    'a threshold by another rule',
    ['lr: 0.01', 'threshold: sensitivity:95'],
    'config.yaml: training_parameters.threshold: expected a number from 0 to 1, youden, or sensitivity:<share> (for example',
  ],
  [
    'one class weight',
    ['lr: 0.01', 'class_weights: [2]'],
    'config.yaml: training_parameters.class_weights: expected none, balanced, or two weights',
  ],
  ['an unknown recipe', ['lr: 0.01', 'recipe: best'], 'config.yaml: training_parameters.recipe: '],
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

const trainingOf = (change: string) => pneumonia(EXAMPLE.replace('lr: 0.01', change)).training_parameters;

test("a silo that reads another silo's datastore is refused at submission; a stored config is read as it is", () => {
  const config = pneumonia(EXAMPLE.replace('datastore_silo1/paths', 'datastore_silo2/paths'));
  assert.throws(() => checkOwnData(config, 'config.yaml'), {
    message:
      "config.yaml: federated_learning.silos[1].silo_data.path: it lies in datastore_silo2, and the silo's datastore is datastore_silo1 (use one for both)",
  });
  checkOwnData(pneumonia(EXAMPLE), 'config.yaml');
});

test('by default the training is the Azure ML example’s', () => {
  const training = trainingOf('lr: 0.01');
  assert.deepEqual(networkOf(training), pneumoniaNetwork());
  assert.deepEqual(optimiserOf(training), { kind: 'sgd', momentum: 0.9, nesterov: false, weight_decay: 0 });
  assert.deepEqual(scheduleOf(training), { kind: 'constant', warmup_epochs: 0 });
  assert.deepEqual(
    [training.recipe, networkName(training), training.class_weights, training.threshold],
    ['seed', 'pneumonia', 'none', 0.5],
  );
});

test('a word stands for its defaults, an object for itself, momentum for that of sgd', () => {
  assert.deepEqual(optimiserOf(trainingOf('momentum: 0.5')), { ...sgd(0.5) });
  const adamw = { kind: 'adamw', betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 };
  assert.deepEqual(optimiserOf(trainingOf('optimizer: adamw')), adamw);
  assert.deepEqual(optimiserOf(trainingOf('optimizer: {kind: adamw, weight_decay: 0.1}')), {
    ...adamw,
    weight_decay: 0.1,
  });
  const cosine = { kind: 'cosine', min_factor: 0, warmup_epochs: 1 };
  assert.deepEqual(scheduleOf(trainingOf('lr_schedule: {kind: cosine, warmup_epochs: 1}')), cosine);
});

test('a warm-up as long as the whole training is refused', () => {
  const of = (warmup: number) => trainingOf(`lr_schedule: {kind: cosine, warmup_epochs: ${warmup}}`);
  assert.deepEqual(scheduleOf(of(9.5)).warmup_epochs, 9.5);
  for (const warmup of [10, 11])
    assert.throws(
      () => of(warmup),
      /lr_schedule\.warmup_epochs: the warm-up takes \d+ of 10 epochs.*take fewer than 10/,
    );
});

test('a network by name, with other channels, and by its layers', () => {
  const small = trainingOf('network: small\n  image_size: 64');
  assert.deepEqual([networkName(small), networkOf(small)], ['small', smallNetwork({ imageSize: 64 })]);
  const narrow = trainingOf('channels: [8, 16, 32]\n  hidden: 64\n  image_size: 64');
  assert.deepEqual(networkOf(narrow), pneumoniaNetwork({ imageSize: 64, channels: [8, 16, 32], hidden: 64 }));
  const layers = '[{op: conv2d, name: a, out_channels: 4, kernel_size: 5}, {op: linear, name: b, out_features: 2}]';
  const custom = trainingOf(`network: {layers: ${layers}}\n  image_size: 16`);
  assert.equal(networkName(custom), 'custom');
  assert.deepEqual(parameterShapes(networkOf(custom)).get('b.weight'), [2, 4 * 12 * 12]);
  const { normalisation, ...rest } = networkOf(trainingOf('network: small\n  image_size: 64\n  equalise: 0.1'));
  assert.deepEqual(normalisation, { ...smallNetwork().normalisation, equalise: 0.1 });
  assert.deepEqual(rest.layers, smallNetwork({ imageSize: 64 }).layers);
});

test('a recipe gives defaults; what the config names wins', () => {
  const recommended = trainingOf('recipe: recommended');
  for (const [key, value] of Object.entries(RECIPES.recommended)) {
    // The example's config names these itself.
    if (key === 'num_of_iterations' || key === 'epochs') continue;
    const filled = key === 'augmentation' ? augmentationSchema.parse(value) : value;
    assert.deepEqual(recommended[key as keyof typeof recommended], filled, key);
  }
  const other = trainingOf('recipe: recommended\n  network: small');
  assert.deepEqual([other.channels, other.image_size], [undefined, RECIPES.recommended.image_size]);
  // Its own network, by name, is the recipe's.
  assert.deepEqual(trainingOf('recipe: recommended\n  network: pneumonia'), recommended);
  const changed = trainingOf('recipe: recommended\n  network: pneumonia\n  channels: [8, 8, 8]\n  class_weights: none');
  assert.deepEqual(
    [changed.network, changed.class_weights, changed.image_size],
    ['pneumonia', 'none', RECIPES.recommended.image_size],
  );
  assert.equal(changed.lr, 0.01);
});

test('an upload to one datastore for two silos is refused', () => {
  const twice = UPLOAD.replace(
    'confidentiality:',
    '    - compute: silo1-01\n      datastore: datastore_silo0\nconfidentiality:',
  );
  assert.throws(
    () => parseConfig(twice, uploadConfigSchema, 'upload.yaml'),
    /upload.yaml: federated_learning.silos\[1\].datastore: "datastore_silo0" is also the datastore of silos\[0\]/,
  );
});

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
