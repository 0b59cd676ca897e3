/** @file The optimisers of the oracle, as torch.optim documents them. */
import type { Optimiser } from '../optimiser.ts';

type Doubles = ReadonlyMap<string, Float64Array>;

/** The new value of one parameter. */
type Update = (w: number, g: number, at: number) => number;

/** Opens an optimiser with no state; each call takes one step, from parameters w and their gradients to new parameters. */
export function openOptimiser(optimiser: Optimiser, learningRate: number): (w: Doubles, g: Doubles) => Doubles {
  const states = new Map<string, readonly [Float64Array, Float64Array]>();
  let t = 0;
  return (parameters, gradients) => {
    t += 1;
    const moved = new Map(parameters);
    for (const [name, g] of gradients) {
      const state = states.get(name) ?? ([new Float64Array(g.length), new Float64Array(g.length)] as const);
      states.set(name, state);
      const update =
        optimiser.kind === 'sgd' ? sgd(optimiser, learningRate, state[0]) : adam(optimiser, learningRate, t, state);
      moved.set(
        name,
        parameters.get(name)!.map((w, at) => update(w, g[at]!, at)),
      );
    }
    return moved;
  };
}

/** v = momentum v + g; w -= rate v, or with Nesterov w -= rate (g + momentum v). */
const sgd =
  (
    { momentum, nesterov, weight_decay: decay }: Extract<Optimiser, { kind: 'sgd' }>,
    rate: number,
    v: Float64Array,
  ): Update =>
  (w, slope, at) => {
    const g = slope + decay * w;
    v[at] = momentum * v[at]! + g;
    return w - rate * (nesterov ? g + momentum * v[at]! : v[at]!);
  };

/** m and v are means of g and g^2; w -= rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps). */
const adam =
  (
    { kind, betas: [beta1, beta2], eps, weight_decay: decay }: Extract<Optimiser, { kind: 'adam' | 'adamw' }>,
    rate: number,
    t: number,
    [m, v]: readonly [Float64Array, Float64Array],
  ): Update =>
  (w, slope, at) => {
    const g = kind === 'adam' ? slope + decay * w : slope;
    const decayed = kind === 'adamw' ? w * (1 - rate * decay) : w;
    m[at] = beta1 * m[at]! + (1 - beta1) * g;
    v[at] = beta2 * v[at]! + (1 - beta2) * g * g;
    return decayed - (rate * (m[at]! / (1 - beta1 ** t))) / (Math.sqrt(v[at]! / (1 - beta2 ** t)) + eps);
  };
