/** @file A hospital whose steps fail again and again gets no more of them until somebody has looked. */

import type { Executor } from '../backends/index.ts';
import type { Federation } from '../messaging/index.ts';
import type { Graph } from '../pipelines/index.ts';
import type { RunEvent } from '../workspace/index.ts';

const DEFAULT_SUSPEND_AFTER = 3;

/** Failed attempts of a compute's steps since one of them last finished. Pure. */
export function failuresInARow(events: readonly RunEvent[], steps: ReadonlySet<string>): number {
  let failures = 0;
  for (const event of events) {
    if (event.type === 'step-finished' && steps.has(event.step)) failures = 0;
    if (event.type === 'step-failed' && steps.has(event.step) && !event.here) failures += 1;
    // Somebody took the run up again, after having looked.
    if (event.type === 'finished') failures = 0;
  }
  return failures;
}

/** The executor, but a hospital is suspended after as many failures in a row as the step's `suspend_after` says. */
export function suspendFailing(
  executor: Executor,
  options: {
    readonly graph: Graph;
    readonly federation: Federation;
    readonly events: () => readonly RunEvent[];
    readonly onProblem: (text: string) => void;
  },
): Executor {
  const { graph, federation, events, onProblem } = options;
  return {
    ...executor,
    run: async (attempt) => {
      const end = await executor.run(attempt);
      if ((end.kind !== 'crashed' && end.kind !== 'refused') || ('here' in end && end.here)) return end;
      const { compute, round } = attempt.step;
      const silo = await federation.silo(compute);
      if (silo?.state !== 'joined') return end;
      const steps = new Set(graph.steps.filter((step) => step.compute === compute).map(({ id }) => id));
      // This one is not in the log yet.
      const failures = failuresInARow(events(), steps) + 1;
      if (failures < (round?.suspend_after ?? DEFAULT_SUSPEND_AFTER)) return end;
      const reason = `${failures} failures in a row, the last one: ${attempt.step.id}: ${end.error}`;
      await federation.suspend(compute, reason);
      onProblem(`${compute} is suspended: ${reason} (once mended: fedrad silo resume ${compute})`);
      return end;
    },
  };
}
