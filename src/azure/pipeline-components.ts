/**
 * @file The kinds of steps in a graph as Azure ML command components. The kinds that the Azure ML example has keep its names and its
 * names of inputs and outputs; the others are `fedrad_…`. Pure.
 *
 * A component's version is made from its content, so registering it twice changes nothing, and a component that somebody uses is never
 * changed under them. A value reaches the step through a shell: it stands in single quotes and never holds one.
 */
import { z } from 'zod';
import { canonicalJson, fail, sha256 } from '../base/index.ts';
import { COMPONENTS, type ComponentName } from '../components/index.ts';
import type { Graph, Step } from '../pipelines/index.ts';

export type PortType = 'uri_folder' | 'uri_file' | 'number' | 'integer' | 'boolean' | 'string';

export interface ComponentInput {
  readonly type: PortType;
  readonly optional?: true;
}

export interface CommandComponent {
  readonly name: string;
  /** Of fedrad, and ten characters of the hash of everything below. */
  readonly version: string;
  readonly displayName: string;
  readonly description: string;
  /** Azure ML may take the outputs of an earlier step with the same inputs. */
  readonly deterministic: boolean;
  readonly inputs: Readonly<Record<string, ComponentInput>>;
  readonly outputs: readonly string[];
  readonly command: string;
  readonly environment: EnvironmentKind;
}

export type EnvironmentKind = 'cpu' | 'cuda';

/** A step as a call of a component. */
export interface ComponentCall {
  readonly component: CommandComponent;
  /** The port of each input of the step, by the input's name. */
  readonly ports: Readonly<Record<string, string>>;
  /** Values of the other ports, as text. */
  readonly literals: Readonly<Record<string, string>>;
}

/** The port that tells a step which key vault holds its secrets. */
export const VAULT_PORT = 'key_vault';

const NAMES: Readonly<Record<ComponentName, string>> = {
  'upload-data': 'msft_fl_pneumonia_upload_data',
  'train-in-silo': 'msft_fl_pneumonia_train_in_silo',
  'train-in-silo-pytorch': 'msft_fl_pneumonia_train_in_silo_pytorch',
  'aggregate-model-weights': 'msft_fl_aggregate_model_weights',
  'prepare-data': 'fedrad_prepare_data',
  'initial-model': 'fedrad_initial_model',
  'evaluate-in-silo': 'fedrad_evaluate_in_silo',
  'collect-evidence': 'fedrad_collect_evidence',
};

/** What comes from outside, or must be found again by the name of its own run, is made anew each time. */
const ALWAYS_ANEW: ReadonlySet<ComponentName> = new Set(['upload-data', 'collect-evidence']);

/** Azure ML compares the path of an input in a datastore, not what lies there: a step that has one would be taken over with old data. */
const mayBeTakenOver = (steps: readonly Step[]): boolean =>
  steps.every(
    ({ component, inputs }) =>
      !ALWAYS_ANEW.has(component) && Object.values(inputs).every(({ from }) => from !== 'datastore'),
  );

/** In the container, which is the step's own. */
const SCRATCH = '/tmp/fedrad';

interface Port {
  readonly name: string;
  readonly type: PortType;
  /** The words of the command line that it stands in. */
  readonly words: string;
}

/**
 * A call for each step, by its id. Steps of one kind share a component; what only some of them have is optional in it.
 *
 * @param vault name of the key vault, for steps that read secrets
 * @param processes of a step of the PyTorch trainer whose config does not say how many
 */
export function componentCalls(
  graph: Graph,
  fedradVersion: string,
  vault: string | undefined,
  processes: (step: Step) => number,
): ReadonlyMap<string, ComponentCall> {
  const kinds = Map.groupBy(graph.steps, ({ component }) => NAMES[component]);
  const calls = new Map<string, ComponentCall>();
  for (const [name, steps] of kinds) {
    const drafts = steps.map((step) => ({ step, ...draftOf(step, vault, processes(step)) }));
    const ports = new Map<string, Port & { uses: number }>();
    for (const { ports: own } of drafts) {
      for (const port of own) {
        const known = ports.get(port.name);
        ports.set(port.name, { ...port, type: wider(known?.type, port.type), uses: (known?.uses ?? 0) + 1 });
      }
    }
    const component = componentOf(name, steps, [...ports.values()], fedradVersion);
    for (const { step, portOf, literals } of drafts) calls.set(step.id, { component, ports: portOf, literals });
  }
  return calls;
}

const dataInputs = ({ inputs }: Step): string[] => Object.keys(inputs).filter((name) => name.startsWith('data_'));

const isPytorch = ({ component }: Step): boolean => component === 'train-in-silo-pytorch';

const isTraining = ({ component }: Step): boolean => component.startsWith('train-in-silo');

function draftOf(step: Step, vault: string | undefined, processCount: number) {
  const ports: Port[] = [];
  const portOf: Record<string, string> = {};
  const literals: Record<string, string> = {};
  const oneDataSet = isTraining(step) && dataInputs(step).length === 1;
  for (const [name, input] of Object.entries(step.inputs)) {
    // The example's name. What comes behind "data_" is not looked at where there is one.
    const [target, port] =
      oneDataSet && name.startsWith('data_')
        ? ['data_silo', 'dataset_name']
        : // An input and a parameter may have one name; Azure ML has one list of both.
          [name, portName(name in step.parameters ? `${name}_data` : name)];
    if (ports.some((other) => other.name === port)) {
      fail(`step ${step.id}: input ${name}`, `Azure ML would call it ${port}, like another`, 'rename a silo');
    }
    const type = input.from !== 'step' && isZip(step) ? 'uri_file' : 'uri_folder';
    ports.push({ name: port, type, words: `--input '${target}=\${{inputs.${port}}}'` });
    portOf[name] = port;
  }
  const { parameters } = step;
  const all = isPytorch(step) ? { process_count_per_instance: processCount, ...parameters } : parameters;
  for (const [name, value] of Object.entries(all)) {
    const port = isTraining(step) && name === 'num_of_iterations' ? 'total_num_of_iterations' : name;
    ports.push({ name: port, type: typeOf(step, name, value), words: `--param '${name}=\${{inputs.${port}}}'` });
    literals[port] = literalOf(value);
  }
  if (step.secrets.length > 0) {
    ports.push({ name: VAULT_PORT, type: 'string', words: '' });
    literals[VAULT_PORT] = vault ?? 'kv-fldemo';
  }
  return { ports, portOf, literals };
}

const portName = (name: string): string => name.replaceAll(/[^A-Za-z0-9_]/g, '_');

const isZip = ({ parameters }: Step): boolean =>
  (parameters['source'] as { kind?: unknown } | undefined)?.kind === 'zip';

function componentOf(
  name: string,
  steps: readonly Step[],
  ports: readonly (Port & { uses: number })[],
  fedradVersion: string,
): CommandComponent {
  const first = steps[0]!;
  const spec = COMPONENTS[first.component];
  const words = ports.flatMap(({ words, uses }) =>
    words === '' ? [] : [uses < steps.length ? `$[[${words}]]` : words],
  );
  const outputs = Object.keys(first.outputs);
  const call = [
    first.component,
    ...words,
    ...outputs.map((output) => `--output '${output}=\${{outputs.${output}}}'`),
    // The log lies in the workspace's own storage, where others than the hospital read it.
    `--scratch ${SCRATCH} --threads all --without-paths`,
  ].join(' ');
  // The step reads its secrets from a pipe; who holds the other end reads the vault with the compute's identity.
  const secrets = first.secrets.map((secret) => `--secret ${secret}`).join(' ');
  const command =
    secrets === ''
      ? `fedrad-step ${call}`
      : `fedrad keyvault lend --vault-name '\${{inputs.${VAULT_PORT}}}' ${secrets} -- fedrad-step ${call} --attached`;
  const content = {
    name,
    displayName: spec.description,
    description: `${spec.description} (fedrad ${fedradVersion})`,
    deterministic: mayBeTakenOver(steps),
    inputs: Object.fromEntries(
      ports.map(({ name: port, type, uses }) => [
        port,
        { type, ...(uses < steps.length ? { optional: true as const } : {}) },
      ]),
    ),
    outputs,
    command,
    environment: isPytorch(first) ? ('cuda' as const) : ('cpu' as const),
  };
  return { ...content, version: `${fedradVersion}-${sha256(canonicalJson(content)).slice(0, 10)}` };
}

/** By what the component takes, not by the value: a rate of 1 may be 0.5 in a YAML that somebody changes. */
function typeOf({ component }: Step, name: string, value: unknown): PortType {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value !== 'number') return 'string';
  const { parameters } = COMPONENTS[component];
  const shape: z.core.$ZodShape = parameters instanceof z.ZodObject ? parameters.shape : {};
  const takesFractions = [0.5, -0.5].some((fraction) => z.safeParse(shape[name] ?? z.int(), value + fraction).success);
  return takesFractions ? 'number' : 'integer';
}

/** The type that holds the values of both steps. */
function wider(known: PortType | undefined, type: PortType): PortType {
  if (known === undefined || known === type) return type;
  const numbers = [known, type].every((each) => each === 'number' || each === 'integer');
  return numbers ? 'number' : 'string';
}

const PLAIN_TEXT = /^[A-Za-z_][A-Za-z0-9_.:-]*$/;

/**
 * A value as the text of a literal input: a number, a word, else JSON. Azure ML puts it between the single quotes of the command line and
 * looks for its own `$[[ ]]` and `${{ }}` there, so JSON is written without any of their signs.
 */
export function literalOf(value: unknown): string {
  if (typeof value === 'string' && PLAIN_TEXT.test(value) && !['true', 'false', 'null'].includes(value)) return value;
  return JSON.stringify(value)
    .replaceAll("'", '\\u0027')
    .replaceAll('$', '\\u0024')
    .replaceAll(/\](?=\])/g, '] ')
    .replaceAll(/\[(?=\[)/g, '[ ')
    .replaceAll(/\}(?=\})/g, '} ');
}
