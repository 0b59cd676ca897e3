/** @file Which step of a graph can start, given what has become of the others. Pure. */
import type { Step } from '../pipelines/index.ts';
import type { StepOutput } from '../workspace/index.ts';

/** What a finished step left, by name. */
export type Outputs = Readonly<Record<string, StepOutput>>;

export interface Progress {
  readonly finished: ReadonlyMap<string, Outputs>;
  /** Steps that failed for good or could not start, with the reason. */
  readonly lost: ReadonlyMap<string, string>;
}

export type Readiness =
  | { readonly kind: 'waiting' }
  /** The names of the inputs that are there. */
  | { readonly kind: 'ready'; readonly inputs: readonly string[] }
  | { readonly kind: 'impossible'; readonly reason: string };

/** Whether a step that has not started can start. */
export function readiness(step: Step, { finished, lost }: Progress): Readiness {
  const inputs: string[] = [];
  for (const [name, input] of Object.entries(step.inputs)) {
    if (input.from !== 'step' || finished.has(input.step)) {
      inputs.push(name);
      continue;
    }
    const reason = lost.get(input.step);
    if (reason === undefined) return { kind: 'waiting' };
    if (!input.optional) return { kind: 'impossible', reason: `${input.step}: ${reason}` };
  }
  const { minInputs } = step;
  if (!minInputs) return { kind: 'ready', inputs };
  const count = inputs.filter((name) => name.startsWith(minInputs.prefix)).length;
  if (count >= minInputs.count) return { kind: 'ready', inputs };
  const reasons = Object.values(step.inputs).flatMap((input) =>
    input.from === 'step' ? (lost.get(input.step) ?? []) : [],
  );
  return {
    kind: 'impossible',
    reason: `${count} of at least ${minInputs.count} silos finished: ${reasons.join('; ')}`,
  };
}
