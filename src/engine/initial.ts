/**
 * @file Initial parameters as PyTorch draws them. Conv2d and Linear: Kaiming uniform with a = sqrt 5 (He et al., ICCV 2015),
 * which is U(-1/sqrt(fan in), 1/sqrt(fan in)) for weights, and the same for biases. Norms: weight 1, bias 0, running mean 0 and
 * variance 1.
 */
import { elementCount, openRng, type ParameterSet, type Rng } from '../base/index.ts';
import { flatten, nodeParameters } from './graph.ts';
import type { Network } from './network.ts';

/** Draws all parameters; each tensor has its own stream, so the same seed gives the same bits. */
export function initialParameters({ layers, imageSize }: Network, seed: number): ParameterSet {
  const { nodes, shapes } = flatten(layers, imageSize);
  return new Map(
    nodes.flatMap((node) => {
      const parameters = nodeParameters(node, shapes[node.inputs[0]!]!);
      const [weightShape] = parameters.values();
      const isNorm = node.layer.op === 'batch_norm2d' || node.layer.op === 'group_norm';
      return [...parameters].map(([name, shape]) => {
        const data = new Float32Array(elementCount(shape));
        if (isNorm) data.fill(/\.(weight|running_var)$/.test(name) ? 1 : 0);
        else drawUniform(data, 1 / Math.sqrt(elementCount(weightShape!.slice(1))), openRng(seed, 'initial', name));
        return [name, { shape, data }] as const;
      });
    }),
  );
}

function drawUniform(data: Float32Array, bound: number, rng: Rng): void {
  for (let i = 0; i < data.length; i++) data[i] = bound * ((rng.uint32() + 0.5) / 2 ** 31 - 1);
}
