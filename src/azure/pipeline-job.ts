/**
 * @file A graph as an Azure ML pipeline job: each step a call of a command component on its compute, inputs and outputs on their
 * datastores. Pure; `pipeline-job-yaml.ts` and `pipeline-job-rest.ts` write it down.
 *
 * What Azure ML cannot do is said in `notes`, not left out in silence: a step whose input failed never runs there, so a run does not
 * survive a silo that fails; and steps are not tried again, except where Azure ML takes a node away: `retry_settings` belong to parallel
 * jobs alone, in the YAML and in the API (docs/azure.md).
 */
import { fail } from '../base/index.ts';
import type { Graph, Step, StepInput } from '../pipelines/index.ts';
import { type CommandComponent, componentCalls } from './pipeline-components.ts';

/** `managed`: the identity of the step's compute; `user`: of whoever submits, who must be allowed to read every hospital's data. */
export type JobIdentity = 'managed' | 'user';

export type InputMode = 'download' | 'ro_mount';

export type JobInput =
  | { readonly kind: 'literal'; readonly value: string }
  /** The output of another step, by the names of Azure ML. */
  | { readonly kind: 'step'; readonly step: string; readonly output: string }
  | { readonly kind: 'path'; readonly type: 'uri_folder' | 'uri_file'; readonly path: string; readonly mode: InputMode }
  /** A file or folder of the machine that submits. */
  | { readonly kind: 'local'; readonly type: 'uri_folder' | 'uri_file'; readonly path: string };

export interface JobStep {
  /** Name in the job: a letter or "_", then small letters, digits and "_". */
  readonly name: string;
  /** The step's id in the graph; the display name, and the tag by which it is found again. */
  readonly id: string;
  readonly component: CommandComponent;
  readonly compute: string;
  readonly inputs: Readonly<Record<string, JobInput>>;
  /** Datastore paths, in which `${{name}}` stands for the step's own run. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly instanceType?: string;
  /** Seconds after which Azure ML ends the step. */
  readonly timeoutSeconds?: number;
}

export interface PipelineJob {
  readonly displayName: string;
  readonly experiment: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly identity: JobIdentity;
  /** Each once, in the order of their first use. */
  readonly components: readonly CommandComponent[];
  readonly steps: readonly JobStep[];
  /** What of the graph Azure ML does in another way. */
  readonly notes: readonly string[];
}

export interface PipelineJobOptions {
  readonly fedradVersion: string;
  /** SHA-256 of the graph, for a tag. */
  readonly graphHash: string;
  /** Default `managed`. */
  readonly identity?: JobIdentity;
  /** GPUs of a node of this compute; default 0. The PyTorch trainer starts a process for each where the config says nothing. */
  readonly gpus?: (compute: string) => number;
  /** Name of the key vault with the secrets of a step; default `kv-fldemo`. */
  readonly keyVault?: string;
}

/** The tag of a step's run that holds the step's id in the graph. */
export const STEP_TAG = 'fedrad_step';

/** Compiles a graph to a pipeline job. @throws FedradError where Azure ML has no way to do what the config asks for */
export function pipelineJob(graph: Graph, options: PipelineJobOptions): PipelineJob {
  const { fedradVersion, graphHash, identity = 'managed', gpus = () => 0 } = options;
  const processes = ({ compute }: Step): number => Math.max(1, gpus(compute));
  const calls = componentCalls(graph, fedradVersion, options.keyVault, processes);
  const names = nodeNames(graph.steps);
  const steps = graph.steps.map((step): JobStep => {
    const { component, ports, literals } = calls.get(step.id)!;
    return {
      name: names.get(step.id)!,
      id: step.id,
      component,
      compute: step.compute,
      inputs: {
        ...Object.fromEntries(
          Object.entries(step.inputs).map(([name, input]) => [
            ports[name]!,
            jobInput(step, name, input, names, component.inputs[ports[name]!]!.type === 'uri_file'),
          ]),
        ),
        ...Object.fromEntries(
          Object.entries(literals).map(([port, value]) => [port, { kind: 'literal' as const, value }]),
        ),
      },
      outputs: step.outputs,
      ...(step.resources.instance_type === undefined ? {} : { instanceType: step.resources.instance_type }),
      ...(step.round?.deadline_seconds === undefined ? {} : { timeoutSeconds: Math.ceil(step.round.deadline_seconds) }),
    };
  });
  return {
    displayName: graph.experiment,
    experiment: graph.experiment,
    description:
      graph.pipeline === 'pneumonia'
        ? 'Federated training of the pneumonia model: only model updates leave a silo'
        : 'Radiographs fetched and dealt to the silos',
    tags: { fedrad: fedradVersion, fedrad_graph: graphHash, fedrad_pipeline: graph.pipeline },
    identity,
    components: [...new Map(steps.map(({ component }) => [component.name, component])).values()],
    steps,
    notes: notesOf(graph),
  };
}

/** Names that Azure ML takes, each once. */
function nodeNames(steps: readonly Step[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const { id } of steps) {
    const plain = id
      .toLowerCase()
      .replaceAll(/[^a-z0-9_]/g, '_')
      .replace(/^(?=\d)/, '_');
    let name = plain;
    for (let number = 2; taken.has(name); number++) name = `${plain}_${number}`;
    taken.add(name);
    names.set(id, name);
  }
  return names;
}

function jobInput(
  step: Step,
  name: string,
  input: StepInput,
  names: ReadonlyMap<string, string>,
  isFile: boolean,
): JobInput {
  const type = isFile ? 'uri_file' : 'uri_folder';
  switch (input.from) {
    case 'step':
      return { kind: 'step', step: names.get(input.step)!, output: input.output };
    case 'local':
      return { kind: 'local', type, path: input.path };
    case 'datastore':
      return { kind: 'path', type, path: input.path, mode: inputMode(step, name, input.mode) };
  }
}

/** The modes of config.yaml by the words of Azure ML's YAML; `mount` is the example's word for `ro_mount`. */
function inputMode(step: Step, name: string, mode = 'download'): InputMode {
  if (mode === 'download' || mode === 'ro_mount') return mode;
  if (mode === 'mount') return 'ro_mount';
  return fail(
    `step ${step.id}: input ${name}: mode`,
    `with ${mode} Azure ML gives the step an address, and it reads folders`,
    'use download or ro_mount',
  );
}

function notesOf({ steps }: Graph): string[] {
  const notes = new Set<string>();
  for (const { optional, resources, round } of steps) {
    if (optional) notes.add('min_silos: on Azure ML a run does not go on without a silo, it fails with it');
    if ((resources.instance_count ?? 1) > 1)
      notes.add('instance_count: a step of fedrad uses one node, so one is asked for');
    if (round?.deadline_seconds !== undefined)
      notes.add('round_deadline_minutes: on Azure ML a step that takes longer fails, and the run with it');
    if (round?.late_updates !== undefined || round?.suspend_after !== undefined)
      notes.add('late_updates and suspend_after have no effect on Azure ML');
  }
  return [...notes];
}
