/** What the other rooms may use of federation. */
export { type Aggregation, average, checkUpdate, type Update } from './average.ts';
export {
  type ServerOptions,
  type ServerStep,
  type ServerStrategy,
  STRATEGIES,
  type StrategyName,
} from './strategies.ts';
