/**
 * @file A pipeline compiled: a static graph of steps, the same for every backend. It is JSON; a backend stores it with the run and
 * executes it without looking at config.yaml again.
 */
import { z } from 'zod';
import { canonicalJson, fail, sha256 } from '../base/index.ts';
import { COMPONENTS, type ComponentName, componentNameSchema } from '../components/index.ts';

const inputSchema = z.discriminatedUnion('from', [
  /** An output of an earlier step. With `optional`, the input is left out where that step failed. */
  z.strictObject({ from: z.literal('step'), step: z.string(), output: z.string(), optional: z.boolean().optional() }),
  /** A path of a datastore. */
  z.strictObject({ from: z.literal('datastore'), path: z.string(), mode: z.string().optional() }),
  /** A file or folder of the machine that submits; data upload only. */
  z.strictObject({ from: z.literal('local'), path: z.string() }),
]);

export const stepSchema = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,120}$/),
  component: componentNameSchema,
  compute: z.string(),
  inputs: z.record(z.string(), inputSchema),
  /** Where each output goes: a datastore path in which `${{name}}` stands for the run. */
  outputs: z.record(z.string(), z.string()),
  parameters: z.record(z.string(), z.json()),
  /** Names of key vault secrets that the step's compute reads for it. */
  secrets: z.array(z.string()),
  network: z.boolean(),
  /** Datastore path of a folder that survives the run. */
  cache: z.string().optional(),
  /** The run goes on when this step fails for good. */
  optional: z.boolean(),
  /** How many of the optional inputs with a prefix must be there. */
  minInputs: z.strictObject({ prefix: z.string(), count: z.int().positive() }).optional(),
  /** How long the round waits for the step, and what becomes of a compute that fails; for computes that are elsewhere. */
  round: z
    .strictObject({
      deadline_seconds: z.number().positive().exactOptional(),
      late_updates: z.enum(['drop', 'keep']).exactOptional(),
      suspend_after: z.int().positive().exactOptional(),
    })
    .exactOptional(),
  /** An output replaces what an earlier run put at the same path. */
  replace: z.boolean(),
  resources: z.strictObject({ instance_count: z.int().positive().optional(), instance_type: z.string().optional() }),
});

export const graphSchema = z.strictObject({
  pipeline: z.enum(['pneumonia', 'upload-data']),
  experiment: z.string(),
  /** In an order in which every step follows those it needs. */
  steps: z.array(stepSchema),
});

export type Graph = z.infer<typeof graphSchema>;
export type Step = z.infer<typeof stepSchema>;
export type StepInput = z.infer<typeof inputSchema>;

/** SHA-256 of the graph: two runs with the same hash compute the same thing on their data. */
export const graphHash = (graph: Graph): string => sha256(canonicalJson(graph));

/** The parts of a step that differ from the common case; the rest has defaults. */
export type StepDraft = Pick<Step, 'id' | 'component' | 'compute' | 'inputs' | 'outputs'> & Partial<Step>;

export const step = (draft: StepDraft): Step => ({
  parameters: {},
  secrets: [],
  network: false,
  optional: false,
  replace: false,
  resources: {},
  ...draft,
});

/** Throws where a step does not fit its component or an input has no source. A defect of a pipeline, not of a user. */
export function checkGraph(graph: Graph): Graph {
  const earlier = new Map<string, Step>();
  for (const current of graph.steps) {
    const where = `graph of ${graph.pipeline}: step ${current.id}`;
    if (earlier.has(current.id)) fail(where, 'the id is used twice');
    const spec = COMPONENTS[current.component];
    for (const [name, input] of Object.entries(current.inputs)) {
      if (!accepts(current.component, name)) fail(where, `component ${current.component} has no input "${name}"`);
      if (input.from === 'step' && !earlier.get(input.step)?.outputs[input.output]) {
        fail(where, `input "${name}" wants output "${input.output}" of ${input.step}, which is not an earlier step's`);
      }
    }
    for (const name of spec.inputs) {
      if (/[*?]$/.test(name) || name in current.inputs) continue;
      fail(where, `input "${name}" is missing`);
    }
    if (Object.keys(current.outputs).sort().join() !== [...spec.outputs].sort().join()) {
      fail(where, `expected outputs ${spec.outputs.join(', ')}, got ${Object.keys(current.outputs).join(', ')}`);
    }
    const parameters = spec.parameters.safeParse(current.parameters);
    if (!parameters.success) fail(where, z.prettifyError(parameters.error));
    earlier.set(current.id, current);
  }
  return graphSchema.parse(graph);
}

function accepts(component: ComponentName, name: string): boolean {
  return COMPONENTS[component].inputs.some((pattern) =>
    pattern.endsWith('_*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern.replace(/\?$/, ''),
  );
}
