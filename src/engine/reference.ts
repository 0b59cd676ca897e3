/**
 * @file The oracle of the tests: any network in plain double-precision TypeScript, in PyTorch's layouts. Written like the
 * equations, not for speed: reference/ holds each operation with its gradient beside it.
 */
import type { ParameterSet } from '../base/index.ts';
import { equalise } from './equalise.ts';
import { flatten, type Node } from './graph.ts';
import type { Network } from './network.ts';
import { conv2d, linear } from './reference/convolution.ts';
import { crossEntropy } from './reference/loss.ts';
import { batchNorm2d, groupNorm } from './reference/norms.ts';
import { dropout, gelu, relu } from './reference/pointwise.ts';
import { avgPool2d, globalAvgPool, maxPool2d } from './reference/pooling.ts';
import { type Batch, batchOf, type Evaluated, type Values } from './reference/tensor.ts';

export type Doubles = ReadonlyMap<string, Float64Array>;

export interface ReferenceBatch {
  /** Grey values [B, H, W]. */
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** Factor of an activation at dropout node `node` (its index in the graph): 0, or 1 / keep probability. */
export type Mask = (image: number, node: number, channel: number, y: number, x: number) => number;

export interface ReferenceOptions {
  /** Dropout in training. Default: nothing is dropped. */
  readonly mask?: Mask;
  /** Weight of each class in the mean of the losses. Default 1. */
  readonly classWeights?: readonly number[];
  /** False: no dropout, and batch norm uses its running statistics, as after torch's eval(). Default true. */
  readonly training?: boolean;
}

export interface ReferenceStep {
  /** Mean cross-entropy of the batch. */
  readonly loss: number;
  /** [B, 2]. */
  readonly logits: Float64Array;
  /** P(class 1) of each image. */
  readonly probabilities: readonly number[];
  /** Of every parameter; running statistics have none. */
  readonly gradients: Doubles;
  /** The running statistics after this batch; empty in evaluation. */
  readonly buffers: Doubles;
}

export const toDoubles = (parameters: ParameterSet): Map<string, Float64Array> =>
  new Map([...parameters].map(([name, { data }]) => [name, Float64Array.from(data)]));

/** Loss, and the gradient of every parameter. */
export function referenceStep(
  network: Network,
  parameters: Doubles,
  { images, labels }: ReferenceBatch,
  { mask = () => 1, classWeights, training = true }: ReferenceOptions = {},
): ReferenceStep {
  const { mean, std, equalise: margin } = network.normalisation;
  const { nodes, shapes } = flatten(network.layers, network.imageSize);
  const grey = new Uint8Array(images);
  if (margin !== undefined) equalise(grey, network.imageSize, margin, grey);
  const input = Float64Array.from(grey, (value) => (value / 255 - mean) / std);
  const tensors = [batchOf(labels.length, shapes[0]!, input)];
  const evaluated = nodes.map((node, index): Evaluated => {
    const x = node.inputs.map((tensor) => tensors[tensor]!);
    const result = evaluate(node, x, valuesOf(node, parameters), (batch) => maskOf(batch, index, mask), training);
    tensors.push(result.y);
    return result;
  });
  const logits = tensors.at(-1)!.data;
  const { loss, probabilities, gradient } = crossEntropy(logits, labels, classWeights);

  const flowing: Float64Array[] = tensors.map(({ data }) => new Float64Array(data.length));
  flowing[flowing.length - 1] = gradient;
  const passed = nodes.map((): Values => ({}));
  for (const [index, { inputs, output }] of [...nodes.entries()].reverse()) {
    const { gX, gP = {} } = evaluated[index]!.backward(flowing[output]!);
    // Both inputs of an addition take the gradient of the sum.
    for (const tensor of inputs) for (const [e, g] of gX.entries()) flowing[tensor]![e]! += g;
    passed[index] = gP;
  }
  const named = (values: readonly Values[]): Doubles =>
    new Map(
      nodes.flatMap(({ layer }, index) =>
        Object.entries(values[index]!).map(([kind, data]) => ['name' in layer ? `${layer.name}.${kind}` : kind, data]),
      ),
    );
  const p1 = [...labels.keys()].map((b) => probabilities[b * network.classes + 1]!);
  const buffers = named(evaluated.map((result) => result.buffers ?? {}));
  return { loss, logits, probabilities: p1, gradients: named(passed), buffers };
}

function evaluate(
  { layer }: Node,
  [x, other]: readonly Batch[],
  parameters: Values,
  mask: (x: Batch) => Float64Array,
  training: boolean,
): Evaluated {
  switch (layer.op) {
    case 'conv2d':
      return conv2d(layer, x!, parameters);
    case 'max_pool2d':
      return maxPool2d(layer, x!);
    case 'avg_pool2d':
      return avgPool2d(layer, x!);
    case 'global_avg_pool':
      return globalAvgPool(x!);
    case 'batch_norm2d':
      return batchNorm2d(layer, x!, parameters, training);
    case 'group_norm':
      return groupNorm(layer, x!, parameters);
    case 'relu':
      return relu(x!);
    case 'gelu':
      return gelu(x!);
    case 'dropout':
      return dropout(x!, training ? mask(x!) : new Float64Array(x!.data.length).fill(1));
    case 'linear':
      return linear(layer, x!, parameters);
    case 'add':
      return {
        y: batchOf(
          x!.images,
          x!.shape,
          x!.data.map((value, e) => value + other!.data[e]!),
        ),
        backward: (gX) => ({ gX }),
      };
  }
}

/** The parameters of one node, by their last name. */
function valuesOf({ layer }: Node, parameters: Doubles): Values {
  if (!('name' in layer)) return {};
  const kinds = ['weight', 'bias', 'running_mean', 'running_var'];
  return Object.fromEntries(
    kinds.flatMap((kind) => {
      const values = parameters.get(`${layer.name}.${kind}`);
      return values ? [[kind, values]] : [];
    }),
  );
}

function maskOf({ images, shape: { channels, height, width } }: Batch, node: number, mask: Mask): Float64Array {
  const factors: number[] = [];
  for (let b = 0; b < images; b++)
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) factors.push(mask(b, node, c, y, x));
  return Float64Array.from(factors);
}
