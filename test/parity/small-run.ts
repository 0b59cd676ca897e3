/** @file The run that parity and chaos repeat: small enough to take seconds, with every step that a real one has. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { foldRun, openRunHistory, type RunState } from '../../src/workspace/index.ts';
import { program } from '../cli.ts';
import { runToEnd } from '../hospitals/tool.ts';

/** Runs `fedrad` with these arguments, in the home of the workspace; gives its standard output. */
export type Fedrad = (...args: readonly string[]) => Promise<string>;

export interface SmallRun {
  /** Where the configs are written. */
  readonly folder: string;
  /** `phantom:24`, or `folder:<chest_xray/train>`. */
  readonly source: string;
  /** Added to the training parameters. */
  readonly training: string;
}

const examples = join(import.meta.dirname, '..', '..', 'examples');

/** The configs of the examples, with this data and these parameters. */
export async function configTexts({ source, training }: SmallRun): Promise<{ upload: string; pneumonia: string }> {
  const read = (name: string): Promise<string> => readFile(join(examples, name, 'config.yaml'), 'utf8');
  const size = source.startsWith('phantom') ? ', phantom_size: 32' : '';
  const epochs = (await read('pneumonia')).replace('  epochs: 5', '  epochs: 1');
  return {
    upload: `${await read('upload-data')}\ndata: {source: ${JSON.stringify(source)}${size}}\n`,
    pneumonia: `${epochs}${training}`,
  };
}

/** How a run of this home stands. */
export async function stateOf(home: string, id: string): Promise<RunState> {
  using history = await openRunHistory(home);
  return foldRun(history.events(id));
}

/** SHA-256 of the folder of the run's last aggregated model. */
export function modelHash({ steps }: RunState): string | undefined {
  const last = [...steps.keys()]
    .filter((id) => id.endsWith('_aggregation'))
    .sort()
    .at(-1);
  return last === undefined ? undefined : steps.get(last)!.outputs['aggregated_output']?.sha256;
}

/** Runs commands of fedrad for this home. @throws Error with what it said unless it ends with 0 */
export const fedradAt =
  (home: string, environment: Readonly<Record<string, string>> = {}): Fedrad =>
  (...args) =>
    runToEnd(process.execPath, [program, '--home', home, ...args], environment);
