/**
 * @file Server strategies: how the silos' mean becomes the next global model. Each is a pure function of the global model, the
 * mean and a state (a parameter set, absent before the first iteration); the table at the end names them all.
 */
import { isBuffer, type ParameterSet, type Tensor } from '../base/index.ts';

export interface ServerStep {
  readonly parameters: ParameterSet;
  /** To be given to the next iteration; absent for a strategy without a state. */
  readonly state?: ParameterSet;
}

export interface ServerOptions {
  /** Step size on the server, no unit. FedAvg is 1. */
  readonly serverLearningRate: number;
  /** Momentum on the server, in [0, 1); used by fedavgm. */
  readonly serverMomentum: number;
}

export type ServerStrategy = (
  global: ParameterSet,
  mean: ParameterSet,
  state: ParameterSet | undefined,
  options: ServerOptions,
) => ServerStep;

/** The next global model is the mean itself (McMahan et al., AISTATS 2017); with a server learning rate, a step towards it. */
export const fedAvg: ServerStrategy = (global, mean, _state, { serverLearningRate }) => ({
  parameters: serverLearningRate === 1 ? mean : zip(global, mean, (w, m) => w + serverLearningRate * (m - w), mean),
});

/**
 * Momentum on the server (Hsu et al., "Measuring the effects of non-identical data distribution for federated visual
 * classification", 2019): v = beta v + (mean - w), w = w + lr v. It damps the silos pulling in different directions.
 */
export const fedAvgM: ServerStrategy = (global, mean, state, { serverLearningRate, serverMomentum }) => {
  const drift = zip(global, mean, (w, m) => m - w, mean);
  const velocity = state ? zip(state, drift, (v, d) => serverMomentum * v + d, mean) : drift;
  return { parameters: zip(global, velocity, (w, v) => w + serverLearningRate * v, mean), state: velocity };
};

export const STRATEGIES = { fedavg: fedAvg, fedavgm: fedAvgM } as const satisfies Record<string, ServerStrategy>;

export type StrategyName = keyof typeof STRATEGIES;

/** Combines a with b; running statistics are not learnt, so they take the values of `buffers`. */
function zip(
  a: ParameterSet,
  b: ParameterSet,
  combine: (a: number, b: number) => number,
  buffers: ParameterSet,
): ParameterSet {
  const result = new Map<string, Tensor>();
  for (const [name, { shape, data }] of a) {
    if (isBuffer(name)) {
      result.set(name, buffers.get(name)!);
      continue;
    }
    const other = b.get(name)!.data;
    result.set(name, { shape, data: data.map((value, i) => combine(value, other[i]!)) });
  }
  return result;
}
