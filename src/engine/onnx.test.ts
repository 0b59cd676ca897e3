/** @file Holds the exported model to the wire format's own examples, to the operators it should have, and to ONNX Runtime. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runOnnx, SKIP_ONNX_RUNTIME } from '../../test/onnxruntime/run.ts';
import { openEngine } from './engine.ts';
import { networkSchema, pneumoniaNetwork } from './network.ts';
import { resnet18, smallNetwork } from './networks.ts';
import { encodeOnnx } from './onnx.ts';
import { onnxGraph } from './onnx-graph.ts';
import { bytes, float, int, message, string } from './protobuf.ts';
import { referenceStep, toDoubles } from './reference.ts';
import { drawnCase, relativeDistance } from './testing.ts';

const description = { producerVersion: '1.2.3', text: 'for a test', metadata: { labels: 'NORMAL,PNEUMONIA' } };
const hex = (chunks: readonly Uint8Array[]): string => Buffer.concat(chunks).toString('hex');

/** Every kind of layer, with flat and spatial tensors in all the places where they can be. */
const everyLayer = networkSchema.parse({
  imageSize: 24,
  classes: 2,
  normalisation: { mean: 0.4, std: 0.3 },
  layers: [
    { op: 'conv2d', name: 'stem.conv', out_channels: 8, kernel_size: [5, 3], stride: [2, 1], padding: [2, 0] },
    { op: 'batch_norm2d', name: 'stem.norm', eps: 1e-3 },
    { op: 'relu' },
    { op: 'max_pool2d', kernel_size: 3, stride: 2, padding: 1 },
    {
      op: 'residual',
      body: [
        { op: 'conv2d', name: 'a', out_channels: 16, kernel_size: 3, padding: 1, groups: 4, bias: false },
        { op: 'group_norm', name: 'groups', num_groups: 2 },
        { op: 'gelu' },
      ],
      shortcut: [{ op: 'conv2d', name: 'b', out_channels: 16, kernel_size: 1 }],
    },
    { op: 'residual', body: [{ op: 'relu' }] },
    { op: 'avg_pool2d', kernel_size: [3, 2], stride: [2, 1], padding: [1, 1] },
    { op: 'dropout', p: 0.3 },
    {
      op: 'residual',
      body: [{ op: 'linear', name: 'h', out_features: 16, bias: false }, { op: 'gelu' }],
      shortcut: [{ op: 'global_avg_pool' }],
    },
    { op: 'linear', name: 'g', out_features: 8 },
    { op: 'group_norm', name: 'g_norm', num_groups: 4 },
    { op: 'linear', name: 'fc', out_features: 2 },
  ],
});

test('the wire format, as its specification shows it', () => {
  assert.equal(hex(int(1, 150)), '089601');
  assert.equal(hex(string(2, 'testing')), '120774657374696e67');
  assert.equal(hex(message(3, int(1, 150))), '1a03089601');
  assert.equal(hex(float(2, 1)), '150000803f');
  assert.equal(hex(int(20, 2 ** 40 + 1)), 'a001818080808020');
  assert.throws(() => int(1, -1), RangeError);
  const weights = new Uint8Array(8);
  assert.equal(bytes(9, weights)[1], weights, 'not copied');
});

test('every layer becomes operators of opset 17, parameters keep their names', () => {
  const { nodes, initializers } = onnxGraph(everyLayer, drawnCase(everyLayer, 1, 4).parameters);
  assert.equal(
    nodes.map(({ op }) => op).join(' '),
    'Div Sub Div Conv BatchNormalization Relu MaxPool ' +
      'Conv Reshape InstanceNormalization Reshape Mul Add Mul Erf Add Mul Mul Conv Add ' +
      'Relu Add AveragePool Flatten Gemm Mul Erf Add Mul Mul GlobalAveragePool Reshape Add Flatten Gemm ' +
      'Reshape Reshape InstanceNormalization Reshape Mul Add Flatten Gemm Softmax',
  );
  assert.deepEqual(nodes.find(({ output }) => output === 'layers[4].body[0]')?.attributes, {
    kernel_shape: { ints: [3, 3] },
    strides: { ints: [1, 1] },
    pads: { ints: [1, 1, 1, 1] },
    group: { i: 4 },
  });
  assert.deepEqual(
    initializers.filter(({ name }) => name.startsWith('stem')).map(({ name, dims }) => `${name} ${dims}`),
    [
      'stem.conv.weight 8,1,5,3',
      'stem.conv.bias 8',
      ...['weight', 'bias', 'running_mean', 'running_var'].map((kind) => `stem.norm.${kind} 8`),
    ],
  );
});

test('the same model gives the same bytes, without a copy of the weights', () => {
  const network = pneumoniaNetwork({ imageSize: 16, channels: [8], hidden: 32 });
  const { parameters } = drawnCase(network, 1, 4);
  const model = encodeOnnx(network, parameters, description);
  assert.equal(hex(model), hex(encodeOnnx(network, parameters, description)));
  const { buffer } = parameters.get('fc1.weight')!.data;
  assert.ok(model.some((chunk) => chunk.buffer === buffer));
});

const small32 = smallNetwork({ imageSize: 32, channels: [8, 8, 16, 16] });

const networks = [
  ['pneumonia', pneumoniaNetwork({ imageSize: 32, channels: [8, 16, 16], hidden: 32 })],
  ['small', small32],
  ['equalised', { ...small32, normalisation: { ...small32.normalisation, equalise: 0.1 } }],
  ['ResNet-18', resnet18({ imageSize: 32, width: 8 })],
  ['every layer', everyLayer],
] as const;

for (const [title, network] of networks) {
  test(`ONNX Runtime gives the probabilities of the reference and the engine: ${title}`, {
    skip: SKIP_ONNX_RUNTIME,
  }, async () => {
    const { parameters, batch } = drawnCase(network, 5, 4);
    const model = Buffer.concat(encodeOnnx(network, parameters, description));
    const size = network.imageSize;
    const { logits, probabilities } = await runOnnx(model, batch.images, size);
    const expected = referenceStep(network, toDoubles(parameters), batch, { training: false });
    assert.deepEqual([logits!.dims, probabilities!.dims], [Array.of(5, 2), Array.of(5, 2)]);
    assert.ok(relativeDistance(logits!.data, expected.logits) < 1e-5);
    for (const [image, probability] of expected.probabilities.entries())
      assert.ok(Math.abs(probabilities!.data[2 * image + 1]! - probability) < 1e-5, `image ${image}`);
    const engine = await openEngine(network, { threads: 1, batchSize: 5 });
    engine.load(parameters);
    for (const [image, probability] of engine.probabilities(batch.images).entries())
      assert.ok(Math.abs(probabilities!.data[2 * image + 1]! - probability) < 1e-5, `image ${image} of the engine`);
    await engine.close();
    const { probabilities: one } = await runOnnx(model, batch.images.subarray(0, size * size), size);
    assert.ok(Math.abs(one!.data[1]! - probabilities!.data[1]!) < 1e-6, 'any batch size');
  });
}
