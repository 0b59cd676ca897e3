import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elementCount } from '../base/index.ts';
import { fusedBlocks, fusedDense } from './fused.ts';
import { flatten } from './graph.ts';
import { type Network, networkSchema, parameterShapes, pneumoniaNetwork } from './network.ts';
import { NETWORKS } from './networks.ts';

const normalisation = { mean: 0.5, std: 0.25 };
const head = { op: 'linear', name: 'fc', out_features: 2 };
const parse = (layers: unknown[], imageSize = 16) =>
  networkSchema.safeParse({ imageSize, classes: 2, normalisation, layers });
const problem = (layers: unknown[], imageSize = 16): string => parse(layers, imageSize).error!.issues[0]!.message;

test('layers are data: defaults are PyTorch’s, one number stands for both axes, and parsing twice changes nothing', () => {
  const layers = [
    { op: 'conv2d', name: 'stem', out_channels: 8, kernel_size: [3, 5], padding: 1 },
    { op: 'residual', body: [{ op: 'group_norm', name: 'norm', num_groups: 4 }, { op: 'gelu' }] },
    { op: 'avg_pool2d', kernel_size: 2 },
    head,
  ];
  const network = parse(layers).data!;
  assert.deepEqual(network.layers[0], {
    ...{ op: 'conv2d', name: 'stem', out_channels: 8, kernel_size: [3, 5], stride: [1, 1], padding: [1, 1] },
    ...{ groups: 1, bias: true },
  });
  assert.deepEqual(networkSchema.parse(JSON.parse(JSON.stringify(network))), network);
  assert.deepEqual(Object.fromEntries(parameterShapes(network)), {
    'stem.weight': [8, 1, 3, 5],
    'stem.bias': [8],
    'norm.weight': [8],
    'norm.bias': [8],
    'fc.weight': [2, 8 * 8 * 7],
    'fc.bias': [2],
  });
  const { nodes, shapes } = flatten(network.layers, 16);
  assert.deepEqual(
    nodes.map(({ layer, inputs, output }) => [layer.op, inputs, output]),
    [
      ['conv2d', [0], 1],
      ['group_norm', [1], 2],
      ['gelu', [2], 3],
      ['add', [3, 1], 4],
      ['avg_pool2d', [4], 5],
      ['linear', [5], 6],
    ],
  );
  assert.deepEqual(shapes[5], { channels: 8, height: 8, width: 7 });
});

test('what does not fit is refused with its place', () => {
  const conv = { op: 'conv2d', name: 'a', out_channels: 8, kernel_size: 3 };
  assert.match(problem([{ ...conv, groups: 3 }, head]), /3 groups do not divide 1 inputs/);
  assert.match(problem([{ ...conv, kernel_size: 15 }, { ...conv, name: 'b' }, head]), /3x3 does not fit 2x2 pixels/);
  assert.match(problem([conv, { ...conv, padding: 1 }, head]), /"a" is also the name of layers\[0\]/);
  assert.match(problem([{ op: 'max_pool2d', kernel_size: 3, padding: 2 }, head]), /more than half the kernel/);
  assert.match(problem([{ op: 'residual', body: [conv] }, head]), /body gives \[8, 14, 14\], shortcut \[1, 16, 16\]/);
  assert.match(problem([conv]), /the last layer must be linear with out_features: 2/);
  assert.match(problem([{ op: 'conv3d' }, head]), /Invalid/);
});

test('a description that is too deep or too long is refused before it is looked at', () => {
  let deep: object = { op: 'relu' };
  for (let level = 0; level < 20_000; level++) deep = { op: 'residual', body: [deep] };
  assert.match(problem([deep, head]), /at most 2000 layers, at most 32 deep/);
  const long = { op: 'residual', body: Array.from({ length: 20_000 }, () => ({ op: 'relu' })) };
  assert.match(problem([long, head]), /at most 2000 layers/);
  const eps = { op: 'group_norm', name: 'n', num_groups: 1, eps: 1e-50 };
  assert.equal(parse([eps, head]).success, false);
});

test('the fused kernels take blocks of conv, ReLU and pool at the start, and the linear layer behind them', () => {
  const fused = ({ layers, imageSize }: Network) => {
    const graph = flatten(layers, imageSize);
    const blocks = fusedBlocks(graph);
    const dense = blocks.length > 0 ? fusedDense(graph, blocks.at(-1)!.output) : undefined;
    return { outputs: blocks.map(({ outputs }) => outputs), dense: dense?.linear.layer.name };
  };
  const seed = pneumoniaNetwork();
  assert.deepEqual(fused(seed), { outputs: [32, 64, 128], dense: 'fc1' });
  assert.deepEqual(fused(pneumoniaNetwork({ channels: [8, 12] })), { outputs: [8], dense: undefined });
  assert.deepEqual(fused(pneumoniaNetwork({ hidden: 40 })), { outputs: [32, 64, 128], dense: undefined });
  assert.deepEqual(fused(NETWORKS.small()), { outputs: [32, 64, 128, 128], dense: undefined });
  assert.deepEqual(fused(NETWORKS.resnet18()).outputs, []);
  const [first, ...others] = seed.layers;
  for (const change of [{ padding: 0 }, { kernel_size: 5, padding: 2 }, { bias: false }, { stride: 2 }])
    assert.deepEqual(fused(parse([{ ...first!, ...change }, ...others], 64).data!).outputs, []);
});

test('named networks have the parameters that PyTorch counts', () => {
  const count = (network: Network): number =>
    [...parameterShapes(network).values()].reduce((sum, shape) => sum + elementCount(shape), 0);
  assert.equal(count(NETWORKS.pneumonia()), 25_783_554);
  assert.equal(count(NETWORKS.small()), 240_514);
  // torchvision's resnet18(num_classes=2) has 11,177,538; its first convolution reads 3 channels, 64 * 2 * 49 weights more.
  assert.equal(count(NETWORKS.resnet18()), 11_177_538 - 6272);
  assert.equal(parameterShapes(NETWORKS.resnet18()).get('layer2.0.downsample.0.weight')!.join(), '128,64,1,1');
});
