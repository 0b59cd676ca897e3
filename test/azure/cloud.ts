/** @file What the stand-in for Azure knows: one plain object that its APIs share, each with a part of its own. */
import type { MachineLearning } from './machine-learning.ts';

export interface Cloud {
  /** Subscription ids, each with its resource groups. */
  readonly subscriptions: Map<string, Set<string>>;
  machineLearning?: MachineLearning;
}
