/**
 * @file Initial parameters as PyTorch's Conv2d and Linear draw them: Kaiming uniform with a = sqrt 5 (He et al., ICCV 2015),
 * which is U(-1/sqrt(fan in), 1/sqrt(fan in)) for weights, and the same for biases.
 */
import { elementCount, openRng, type ParameterSet } from '../base/index.ts';
import { type Network, parameterShapes } from './network.ts';

/** Draws all parameters; each tensor has its own stream, so the same seed gives the same bits. */
export function initialParameters(network: Network, seed: number): ParameterSet {
  const shapes = parameterShapes(network);
  return new Map(
    [...shapes].map(([name, shape]) => {
      const weightShape = shapes.get(name.replace('.bias', '.weight'))!;
      const bound = 1 / Math.sqrt(elementCount(weightShape.slice(1)));
      const rng = openRng(seed, 'initial', name);
      const data = new Float32Array(elementCount(shape));
      for (let i = 0; i < data.length; i++) data[i] = bound * ((rng.uint32() + 0.5) / 2 ** 31 - 1);
      return [name, { shape, data }];
    }),
  );
}
