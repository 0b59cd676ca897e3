/** @file The PyTorch trainer held to fedrad's engine and to itself: the same order of images, losses, weights; any number of processes. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openRng, type ParameterSet, sha256, streamKey } from '../../base/index.ts';
import {
  type Augmentation,
  augmentationSchema,
  equalise,
  initialParameters,
  NETWORKS,
  type Network,
  networkSchema,
  type Optimiser,
  openAugmenter,
  openEngine,
  parameterShapes,
  pneumoniaNetwork,
  type Schedule,
  type TrainOptions,
  train,
} from '../../engine/index.ts';
import { RECIPES } from '../../pipelines/recipes.ts';
import { writeEarlyStopping } from '../early-stopping.ts';
import type { ModelFile } from '../model-file.ts';
import { readUpdateNote } from '../update-file.ts';
import { everyOperation, hospital, inPython, PARAMETERS, trainInStep, trainInTorch, withoutTorch } from './testing.ts';

const small = pneumoniaNetwork({ imageSize: 16, channels: [8, 16, 8], hidden: 32, dropout: 0 });
const equalising = { ...small, normalisation: { ...small.normalisation, equalise: 0.15 } };
const every = networkSchema.parse({ ...small, layers: everyOperation(0) });

/** Images with something to learn: the brighter ones are class 1. */
function drawnData(count: number, size: number) {
  const rng = openRng(3, 'images');
  const labels = Uint8Array.from({ length: count }, () => rng.integer(2));
  const images = Uint8Array.from({ length: count * size * size }, (_, at) =>
    Math.floor(rng.uniform() * 200 + 40 * labels[Math.floor(at / size ** 2)]!),
  );
  return { images, labels };
}

/** The largest |a - b| of a parameter over its largest |b|. */
function distance(a: ParameterSet, b: ParameterSet): number {
  assert.deepEqual([...a.keys()], [...b.keys()]);
  const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Math.max(
    ...[...a].map(([name, { data }]) => {
      const other = b.get(name)!.data;
      return largest(data.map((value, i) => value - other[i]!)) / largest(other);
    }),
  );
}

/** The same training in fedrad's engine. */
async function inEngine(model: ModelFile, data: ReturnType<typeof drawnData>, options: Partial<TrainOptions>) {
  const { epochs, lr: learningRate, seed } = PARAMETERS;
  const { batchSize = PARAMETERS.batch_size } = options;
  const engine = await openEngine(model.network, { threads: 1, batchSize, secondMoments: true });
  try {
    engine.load(model.parameters);
    const always = { epochs, batchSize, learningRate, seed, stream: ['silo0', 1] };
    const { epochs: history } = await train(engine, data, { ...always, ...options });
    return { losses: history.map(({ loss }) => loss), parameters: engine.parameters() };
  } finally {
    await engine.close();
  }
}

const nesterov: Optimiser = { kind: 'sgd', momentum: 0.8, nesterov: true, weight_decay: 0.01 };
const adam: Optimiser = { kind: 'adam', betas: [0.9, 0.99], eps: 1e-4, weight_decay: 0.01 };
const adamw: Optimiser = { kind: 'adamw', betas: [0.8, 0.999], eps: 1e-4, weight_decay: 0.1 };
const cosine: Schedule = { kind: 'cosine', min_factor: 0.2, warmup_epochs: 4 };
const steps: Schedule = { kind: 'step', step_size: 1.5, gamma: 0.5, warmup_epochs: 0.5 };

const { recommended } = RECIPES;
const equalised = (network: Network): Network => ({
  ...network,
  normalisation: { ...network.normalisation, equalise: recommended.equalise },
});
const looks = augmentationSchema.parse(recommended.augmentation);

/** Name, network, what the trainer is given, and what that means to the engine. */
const cases: readonly [string, Network, object, Partial<TrainOptions>][] = [
  ['SGD', small, {}, {}],
  ['SGD after equalisation', equalising, {}, {}],
  ['FedProx', small, { proximal_mu: 0.7 }, { proximalMu: 0.7 }],
  ['Nesterov', small, { optimizer: nesterov, lr: 0.02 }, { optimiser: nesterov, learningRate: 0.02 }],
  ['Adam', small, { optimizer: adam, lr: 0.002 }, { optimiser: adam, learningRate: 0.002 }],
  [
    'AdamW in steps, classes weighted',
    small,
    { optimizer: adamw, lr: 0.002, lr_schedule: steps, class_weights: [1, 2.5] },
    { optimiser: adamw, learningRate: 0.002, schedule: steps, classWeights: [1, 2.5] },
  ],
  [
    'every layer, the second of three iterations, classes balanced',
    every,
    { iteration_num: 2, num_of_iterations: 3, lr_schedule: cosine, class_weights: 'balanced' },
    { stream: ['silo0', 2], firstEpoch: 3, totalEpochs: 9, schedule: cosine, classWeights: 'balanced' },
  ],
  [
    'equalised and augmented, the second iteration, classes balanced',
    equalised(small),
    { iteration_num: 2, num_of_iterations: 2, class_weights: 'balanced', augmentation: looks },
    { stream: ['silo0', 2], firstEpoch: 3, classWeights: 'balanced', augmentation: looks },
  ],
];

test('three epochs without dropout give the losses and weights of fedrad', { skip: withoutTorch }, async (context) => {
  // 22 images in batches of 5: the last batch is short.
  const data = drawnData(22, 16);
  for (const [name, network, parameters, options] of cases) {
    const model = { network, parameters: initialParameters(network, 1) };
    const ours = await inEngine(model, data, options);
    const torch = await trainInTorch(await hospital(context, model, data), 'model', parameters);
    assert.equal(torch.code, 0, torch.stderr);
    assert.equal(torch.losses.length, 3);
    for (const [epoch, loss] of ours.losses.entries())
      assert.ok(Math.abs(torch.losses[epoch]! - loss) < 1e-4, `${name}: ${torch.losses} against ${ours.losses}`);
    // It must have moved much further than the two are apart.
    assert.ok(distance(ours.parameters, model.parameters) > 0.05, name);
    const apart = distance(torch.model!.parameters, ours.parameters);
    assert.ok(apart < 1e-3, `${name}: ${apart}`);
    const kinds = torch.messages.map(({ type }) => type);
    assert.equal(kinds.filter((kind) => kind === 'progress').length, 15);
    assert.deepEqual([kinds[0], kinds.at(-1)], ['note', 'usage']);
  }
});

test('a step of the recommended recipe moves the weights as in fedrad', { skip: withoutTorch }, async (context) => {
  const { image_size: imageSize, channels } = recommended;
  const network = equalised(pneumoniaNetwork({ imageSize, channels, dropout: 0 }));
  const model = { network, parameters: initialParameters(network, 1) };
  const data = drawnData(4, imageSize);
  const step = { epochs: 1, batch_size: 4, augmentation: looks, class_weights: recommended.class_weights };
  const options = { epochs: 1, batchSize: 4, augmentation: looks, classWeights: recommended.class_weights };
  const ours = await inEngine(model, data, options);
  const torch = await trainInTorch(await hospital(context, model, data), 'model', step);
  assert.equal(torch.code, 0, torch.stderr);
  assert.ok(Math.abs(torch.losses[0]! - ours.losses[0]!) < 1e-5, `${torch.losses} against ${ours.losses}`);
  assert.ok(distance(ours.parameters, model.parameters) > 1e-3);
  // Of what the step changed, not of the weights.
  const moved = (parameters: ParameterSet): ParameterSet =>
    new Map(
      [...parameters].map(([name, { shape, data }]) => {
        const start = model.parameters.get(name)!.data;
        return [name, { shape, data: data.map((value, i) => value - start[i]!) }];
      }),
    );
  const apart = distance(moved(torch.model!.parameters), moved(ours.parameters));
  // Rounding decides between nearly equal winners of a max-pool, on each kind of CPU in another way: 5e-3 with AVX2, less than 1e-3 with AVX-512.
  assert.ok(apart < 2e-2, `${apart}`);
});

/** Size, margin that equalisation does not count (none: not equalised), augmentation. */
const pixelCases: readonly [number, number | null, Partial<Augmentation>][] = [
  [24, null, { shift: 1 }],
  [24, null, { rotation: 180 }],
  [24, null, { scale: 1 }],
  [24, null, { aspect: 1 }],
  [24, null, { brightness: 0.5 }],
  [24, null, { contrast: 0.9 }],
  [24, null, { gamma: 0.9 }],
  [24, null, { sharpness: 0.5 }],
  [23, null, { noise: 0.3 }],
  [24, null, { cutout: 1 }],
  [16, 0, {}],
  [23, 0.1, {}],
  [24, 0.4, { noise: 0.01 }],
  [112, recommended.equalise, recommended.augmentation],
  [
    40,
    0.05,
    {
      ...{
        shift: 0.1,
        rotation: 15,
        scale: 0.2,
        aspect: 0.3,
        brightness: 0.1,
        contrast: 0.2,
        gamma: 0.3,
        sharpness: 0.5,
      },
      ...{ noise: 0.05, cutout: 0.4 },
    },
  ],
];

test('augmented and equalised images are those of fedrad, pixel for pixel', { skip: withoutTorch }, async () => {
  const [epoch, indices] = [3, [0, 1, 2, 7, 65_537, 4_000_000_000]];
  const key = streamKey(7, 'augmentation', 'silo "ä"', 2);
  const cases = pixelCases.map(([size, margin, part]) => {
    const images = Uint8Array.from(drawnData(indices.length, size).images);
    const smooth = images.map((value, at) => (at % 3 === 0 ? value : 40 + 8 * (at % size) - 3 * Math.floor(at / size)));
    return { size, margin, part, images: smooth };
  });
  const python = (await inPython(
    `[bytes((lambda x: x if c["margin"] is None else t.equalise(x, c["margin"]))(
        t.augment.augmented(t.torch.tensor(list(bytes.fromhex(c["images"])), dtype=t.torch.uint8).view(-1, c["size"], c["size"]),
          c["part"], t.stream_key(7, "augmentation", given["silo"], 2), given["epoch"], given["indices"])
      ).flatten().tolist()).hex() for c in given["cases"]]`,
    {
      ...{ silo: 'silo "ä"', epoch, indices },
      cases: cases.map(({ images, ...given }) => ({ ...given, images: Buffer.from(images).toString('hex') })),
    },
  )) as string[];
  for (const [at, { size, margin, part, images }] of cases.entries()) {
    const name = JSON.stringify(pixelCases[at]);
    const augment = openAugmenter(augmentationSchema.parse(part), size, key);
    const expected = new Uint8Array(images.length);
    for (const [i, index] of indices.entries()) {
      const [from, to] = [i * size ** 2, (i + 1) * size ** 2];
      augment(images.subarray(from, to), epoch, index, expected.subarray(from, to));
    }
    assert.equal(Buffer.compare(expected, images) === 0, Object.keys(part).length === 0, name);
    if (margin !== null) equalise(expected.slice(), size, margin, expected);
    const got = Buffer.from(python[at]!, 'hex');
    assert.equal(got.length, expected.length);
    assert.equal(got.filter((value, i) => value !== expected[i]).length, 0, name);
  }
});

test('images come in the order of fedrad', { skip: withoutTorch }, async () => {
  const labels = ['silo "ä"', 4, 11];
  const expected = openRng(31415, 'shuffle', ...labels).shuffle(Array.from({ length: 5216 }, (_, i) => i));
  assert.deepEqual(await inPython('t.shuffled(5216, 31415, "shuffle", *given)', labels), expected);
});

test('its networks have the parameters of the house, by name, shape and order', { skip: withoutTorch }, async () => {
  const networks = [
    ...[NETWORKS.pneumonia({ imageSize: 32 }), NETWORKS.small({}), NETWORKS.resnet18({ imageSize: 64, width: 8 })],
    networkSchema.parse({ ...small, layers: everyOperation(0.5) }),
  ];
  assert.deepEqual(
    await inPython(
      '[[[n, list(v.shape)] for n, v in t.Model(network).state().items()] for network in given]',
      networks,
    ),
    networks.map((network) => [...parameterShapes(network)]),
  );
});

test('two processes train as one does, whatever the layers; the same bits when done again', {
  skip: withoutTorch,
}, async (context) => {
  // Of the last batch, of 1 image, no process can be without.
  const data = drawnData(21, 16);
  const start = equalised(every);
  const at = await hospital(context, { network: start, parameters: initialParameters(start, 2) }, data);
  const augmentation = { ...looks, noise: 0.1 };
  const one = await trainInTorch(at, 'one', { augmentation });
  const two = await trainInStep(at, 'two', { augmentation }, 2);
  for (const { code, stderr } of [one, two]) assert.equal(code, 0, stderr);
  for (const [epoch, loss] of one.losses.entries())
    assert.ok(Math.abs(two.losses[epoch]! - loss) < 1e-4, `${two.losses} against ${one.losses}`);
  const apart = distance(two.model!.parameters, one.model!.parameters);
  assert.ok(apart < 1e-5, `${apart}`);
  assert.equal(two.messages.filter(({ type }) => type === 'usage').length, 3, 'two of Python and the step itself');

  const dropping = networkSchema.parse({ ...start, layers: everyOperation(0.3) });
  const other = await hospital(context, { network: dropping, parameters: initialParameters(dropping, 2) }, data);
  const first = await trainInTorch(other, 'first', { augmentation }, 2);
  const again = await trainInTorch(other, 'again', { augmentation }, 2);
  assert.equal(first.code, 0, first.stderr);
  assert.equal(first.sha256, again.sha256);
  assert.notDeepEqual(first.losses, two.losses, 'dropout must have dropped something');
});

test('where training has ended the model is handed on unchanged', { skip: withoutTorch }, async (context) => {
  const at = await hospital(context, { network: small, parameters: initialParameters(small, 1) }, drawnData(6, 16));
  await writeEarlyStopping(at.checkpoint, { iterations: [{ auroc: 0.9, logLoss: 0.3 }], stoppedAfter: 1 });
  const { code, stderr, sha256: written } = await trainInStep(at, 'stopped', { iteration_num: 2 }, 1);
  assert.equal(code, 0, stderr);
  assert.equal(written, sha256(await readFile(join(at.checkpoint, 'model.safetensors'))));
  assert.deepEqual(await readUpdateNote(join(at.folder, 'stopped')), { silo: 'silo0', examples: 6 });
});
