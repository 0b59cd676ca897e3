/** @file When a round goes on without a hospital. Pure. */
import type { Graph, Step } from '../pipelines/index.ts';

/** What waits for a step together with others, and how many of these it needs: the aggregation of its round. */
export interface Quorum {
  /** Steps of the same round, this one included. */
  readonly steps: readonly string[];
  readonly needed: number;
}

/** The round of a step, or undefined where everything that follows needs the step itself. */
export function quorumOf(graph: Graph, step: Step): Quorum | undefined {
  for (const { inputs, minInputs } of graph.steps) {
    if (!minInputs) continue;
    const steps = Object.entries(inputs).flatMap(([name, input]) =>
      name.startsWith(minInputs.prefix) && input.from === 'step' ? [input.step] : [],
    );
    if (steps.includes(step.id)) return { steps, needed: minInputs.count };
  }
  return undefined;
}

/**
 * Whether a step that is late is given up now. `drop`: at the deadline. `keep`: an update not before enough others of its round are there,
 * so that a late one still counts as long as the round cannot end without it.
 */
export function isGivenUp(
  late: 'drop' | 'keep',
  quorum: Quorum | undefined,
  isFinished: (step: string) => boolean,
): boolean {
  return late === 'drop' || quorum === undefined || quorum.steps.filter(isFinished).length >= quorum.needed;
}
