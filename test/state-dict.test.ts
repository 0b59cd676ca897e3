/** @file Holds a model's file to PyTorch: `load_state_dict` takes it as it is, strictly, and torch computes what the reference computes. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MODEL_FILE, writeModel } from '../src/components/model-file.ts';
import { networkSchema, pneumoniaNetwork, resnet18, smallNetwork } from '../src/engine/index.ts';
import { referenceStep, toDoubles } from '../src/engine/reference.ts';
import { drawnCase } from '../src/engine/testing.ts';

const everyLayer = networkSchema.parse({
  imageSize: 16,
  classes: 2,
  normalisation: { mean: 0.4, std: 0.3 },
  layers: [
    { op: 'conv2d', name: 'stem.0', out_channels: 8, kernel_size: [5, 3], stride: [2, 1], padding: [2, 0] },
    { op: 'batch_norm2d', name: 'stem.1', eps: 1e-3 },
    { op: 'relu' },
    { op: 'max_pool2d', kernel_size: 3, stride: 2, padding: 1 },
    {
      op: 'residual',
      body: [
        { op: 'conv2d', name: 'a', out_channels: 8, kernel_size: 3, padding: 1, groups: 4, bias: false },
        { op: 'group_norm', name: 'groups', num_groups: 2 },
        { op: 'gelu' },
        { op: 'dropout', p: 0.3 },
      ],
    },
    { op: 'avg_pool2d', kernel_size: 2, padding: 1 },
    { op: 'residual', body: [{ op: 'linear', name: 'h', out_features: 8 }], shortcut: [{ op: 'global_avg_pool' }] },
    { op: 'linear', name: 'fc', out_features: 2, bias: false },
  ],
});

test('PyTorch loads the models of all networks', async (context) => {
  const python = ['/usr/bin/python3', 'python3'].find((name) => spawnSync(name, ['-c', 'import torch']).status === 0);
  if (python === undefined) return context.skip('PyTorch is not installed');
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-state-dict-'));
  context.after(() => rm(folder, { recursive: true }));
  const networks = [
    pneumoniaNetwork({ imageSize: 16, channels: [8, 8], hidden: 32 }),
    smallNetwork({ imageSize: 16, channels: [8, 8] }),
    resnet18({ imageSize: 32, width: 8 }),
    everyLayer,
  ];
  const expected: (readonly number[])[] = [];
  const files: string[] = [];
  for (const [index, network] of networks.entries()) {
    const { parameters, batch } = drawnCase(network, 3, 6);
    const place = join(folder, String(index));
    await mkdir(place);
    await writeModel(place, { network, parameters });
    await writeFile(join(place, 'pixels'), batch.images);
    files.push(join(place, MODEL_FILE), join(place, 'pixels'));
    expected.push(referenceStep(network, toDoubles(parameters), batch, { training: false }).probabilities);
  }
  const script = join(import.meta.dirname, 'state_dict.py');
  const torch: number[][] = JSON.parse(execFileSync(python, [script, ...files], { encoding: 'utf8' }));
  for (const [index, probabilities] of expected.entries())
    for (const [image, value] of probabilities.entries())
      assert.ok(Math.abs(torch[index]![image]! - value) < 1e-5, `network ${index}, image ${image}`);
});
