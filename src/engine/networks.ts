/** @file Networks by name: descriptions that a config may ask for with one word. */
import type { Layer } from './layers.ts';
import {
  convolution,
  type Network,
  NORMALISATION,
  networkSchema,
  type PneumoniaOptions,
  pneumoniaNetwork,
} from './network.ts';

/** Four blocks of conv 3x3, ReLU and max-pool, then the mean over the image: 240,514 parameters, 0.96 MB. */
export function smallNetwork({
  imageSize = 224,
  channels = [32, 64, 128, 128],
  dropout = 0.2,
}: PneumoniaOptions = {}): Network {
  return networkSchema.parse({
    imageSize,
    classes: 2,
    normalisation: NORMALISATION,
    layers: [
      ...channels.flatMap((outputs, i): Layer[] => [
        { ...convolution(`conv${i + 1}`, outputs), bias: true },
        { op: 'relu' },
        { op: 'max_pool2d', kernel_size: [2, 2], padding: [0, 0] },
      ]),
      { op: 'global_avg_pool' },
      ...(dropout > 0 ? [{ op: 'dropout', p: dropout }] : []),
      { op: 'linear', name: 'fc', out_features: 2 },
    ],
  });
}

/**
 * ResNet-18 (He et al., CVPR 2016) with group norm in place of batch norm (Wu and He, ECCV 2018), whose statistics do not leave an
 * image; names are torchvision's. `width` is the channels of the first stage, a multiple of 8.
 */
export function resnet18({ imageSize = 224, width = 64 }: { imageSize?: number; width?: number } = {}): Network {
  const norm = (name: string): Layer => ({ op: 'group_norm', name, num_groups: 8, eps: 1e-5 });
  const block = (name: string, outputs: number, stride: number, widens: boolean): Layer[] => [
    {
      op: 'residual',
      body: [
        convolution(`${name}.conv1`, outputs, stride),
        norm(`${name}.bn1`),
        { op: 'relu' },
        convolution(`${name}.conv2`, outputs),
        norm(`${name}.bn2`),
      ],
      shortcut: widens
        ? [
            { ...convolution(`${name}.downsample.0`, outputs, stride), kernel_size: [1, 1], padding: [0, 0] },
            norm(`${name}.downsample.1`),
          ]
        : [],
    },
    { op: 'relu' },
  ];
  return networkSchema.parse({
    imageSize,
    classes: 2,
    normalisation: NORMALISATION,
    layers: [
      { ...convolution('conv1', width, 2), kernel_size: [7, 7], padding: [3, 3] },
      norm('bn1'),
      { op: 'relu' },
      { op: 'max_pool2d', kernel_size: 3, stride: 2, padding: 1 },
      ...[1, 2, 3, 4].flatMap((stage) => [
        ...block(`layer${stage}.0`, width << (stage - 1), stage === 1 ? 1 : 2, stage > 1),
        ...block(`layer${stage}.1`, width << (stage - 1), 1, false),
      ]),
      { op: 'global_avg_pool' },
      { op: 'linear', name: 'fc', out_features: 2 },
    ],
  });
}

/** By the name that a config gives. */
export const NETWORKS = { pneumonia: pneumoniaNetwork, small: smallNetwork, resnet18 } as const;
