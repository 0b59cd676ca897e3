/**
 * @file A model's parameters: named float32 tensors, in a fixed order. Names and layouts are PyTorch's
 * (`conv1.weight [32, 1, 3, 3]`), so that a state_dict moves both ways.
 */
import { fail } from './errors.ts';

export interface Tensor {
  /** Sizes of the axes, outermost first; the data is row-major. */
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Parameters by name, in the order of the network's layers. */
export type ParameterSet = ReadonlyMap<string, Tensor>;

/** The shape of each parameter by name, in order. */
export type ParameterShapes = ReadonlyMap<string, readonly number[]>;

/** Number of elements of a tensor of this shape. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** The shapes of a parameter set. */
export const shapesOf = (parameters: ParameterSet): ParameterShapes =>
  new Map([...parameters].map(([name, tensor]) => [name, tensor.shape]));

/** Statistics that a batch norm gathers in training: part of a state_dict, but not learnt. */
export const isBuffer = (parameter: string): boolean => /\.running_(mean|var)$/.test(parameter);

/** Throws unless the parameters have exactly these names and shapes every element is finite and no variance is negative. */
export function checkParameters(parameters: ParameterSet, expected: ParameterShapes, where: string): void {
  const remedy = 'this file does not belong to this network; it is not used';
  for (const name of parameters.keys()) {
    if (!expected.has(name)) fail(where, `unexpected parameter "${name}"`, remedy);
  }
  for (const [name, shape] of expected) {
    const tensor = parameters.get(name) ?? fail(where, `parameter "${name}" is missing`, remedy);
    if (tensor.shape.join() !== shape.join()) {
      fail(
        where,
        `parameter "${name}": expected shape [${shape.join(', ')}], got [${tensor.shape.join(', ')}]`,
        remedy,
      );
    }
    const bad = firstNotFinite(tensor.data);
    if (bad >= 0)
      fail(where, `parameter "${name}": element ${bad} is ${tensor.data[bad]}, expected a finite number`, remedy);
    const negative = name.endsWith('.running_var') ? tensor.data.findIndex((value) => value < 0) : -1;
    if (negative >= 0)
      fail(where, `"${name}": element ${negative} is ${tensor.data[negative]}, expected a variance, 0 or more`, remedy);
  }
}

/** Index of the first element that is not a number or infinite, or -1. A loop: findIndex takes ten times as long. */
function firstNotFinite(data: Float32Array): number {
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    // 0 for what is finite, else NaN.
    if (value - value !== 0) return i;
  }
  return -1;
}
