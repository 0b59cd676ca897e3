/**
 * @file The command line of a step, the same on every backend:
 * `fedrad-step train-in-silo --input data_0=<path> --input checkpoint=<path> --output model=<path> --param lr=0.01`.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { fail } from '../base/index.ts';
import { type ComponentName, componentNameSchema } from './specs.ts';

export interface StepArguments {
  readonly component: ComponentName;
  readonly inputs: ReadonlyMap<string, string>;
  readonly outputs: ReadonlyMap<string, string>;
  /** JSON values by name. */
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly scratch: string;
  readonly cache?: string;
  readonly threads: number;
  /**
   * The parent holds standard input open: its first line is a JSON object of secrets, its end means that the parent is gone and
   * the step must stop.
   */
  readonly attached: boolean;
}

/** The command line of a step, without the program. */
export const stepArguments = (step: StepArguments): string[] => [
  step.component,
  ...[...step.inputs].flatMap(([name, path]) => ['--input', `${name}=${path}`]),
  ...[...step.outputs].flatMap(([name, path]) => ['--output', `${name}=${path}`]),
  ...Object.entries(step.parameters).flatMap(([name, value]) => ['--param', `${name}=${JSON.stringify(value)}`]),
  '--scratch',
  step.scratch,
  ...(step.cache === undefined ? [] : ['--cache', step.cache]),
  '--threads',
  String(step.threads),
  ...(step.attached ? ['--attached'] : []),
];

/** Reads a step's command line. */
export function parseStepArguments(args: readonly string[]): StepArguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      input: { type: 'string', multiple: true, default: [] },
      output: { type: 'string', multiple: true, default: [] },
      param: { type: 'string', multiple: true, default: [] },
      scratch: { type: 'string' },
      cache: { type: 'string' },
      threads: { type: 'string', default: '1' },
      attached: { type: 'boolean', default: false },
    },
  });
  const component = componentNameSchema.safeParse(positionals[0]);
  if (!component.success) {
    return fail(
      'fedrad-step',
      `no component "${positionals[0] ?? ''}"`,
      `one of ${componentNameSchema.options.join(', ')}`,
    );
  }
  return {
    component: component.data,
    inputs: pairs(values.input, 'input'),
    outputs: pairs(values.output, 'output'),
    parameters: Object.fromEntries([...pairs(values.param, 'param')].map(([name, text]) => [name, jsonValue(text)])),
    scratch: values.scratch ?? fail('fedrad-step', '--scratch is missing', 'give an empty folder'),
    ...(values.cache === undefined ? {} : { cache: values.cache }),
    // In a container that is the step's own it does not know how many there are before it is there.
    threads: values.threads === 'all' ? availableParallelism() : Number(values.threads),
    attached: values.attached,
  };
}

function pairs(texts: readonly string[], option: string): Map<string, string> {
  return new Map(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) fail(`fedrad-step --${option}`, `expected name=value, got "${text}"`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

/** A JSON value; text that is no JSON is itself, so that `--param metrics_prefix=silo0` works by hand. */
function jsonValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
