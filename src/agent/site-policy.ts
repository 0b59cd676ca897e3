/**
 * @file What a hospital does for an orchestrator and what it lets out: a fixed table, which no job can widen. Pure.
 *
 * The table has the steps of the pneumonia graph and of data upload. A step that is not in it, or that wants more than its row allows,
 * is refused before anything of it is looked at.
 */
import { outputUri } from '../backends/index.ts';
import { fail } from '../base/index.ts';
import { COMPONENTS, type ComponentName } from '../components/index.ts';
import type { Work } from '../messaging/index.ts';
import { CACHE_PATH } from '../pipelines/index.ts';
import { isNewRunId, parseDatastoreUri } from '../workspace/index.ts';

interface Row {
  /** Outputs that may go to another datastore than the hospital's own. */
  readonly leave: readonly string[];
  /** Inputs that may come from one; a name that ends in `_*` stands for all with that prefix. */
  readonly arrive: readonly string[];
  readonly secrets?: readonly string[];
  readonly network?: true;
  readonly cache?: true;
  /** Its outputs may replace what earlier runs left. */
  readonly replace?: true;
  /** It may read files that the hospital named for import. */
  readonly imports?: true;
}

const TRAINING: Row = { leave: ['model'], arrive: ['checkpoint'] };

/** Which components run in a hospital, and what each may do there. */
const SITE_POLICY: Partial<Record<ComponentName, Row>> = {
  'upload-data': {
    leave: [],
    arrive: [],
    secrets: ['kaggleusername', 'kagglekey'],
    ...{ network: true, replace: true, imports: true },
  },
  'prepare-data': { leave: [], arrive: [], cache: true },
  'train-in-silo': TRAINING,
  'train-in-silo-pytorch': TRAINING,
  'evaluate-in-silo': { leave: ['evaluation'], arrive: ['model_*'] },
};

export interface Site {
  readonly compute: string;
  /** The hospital's own datastores. */
  readonly datastores: readonly string[];
  /** Where Kaggle's credentials may be sent. */
  readonly kaggleUrl: string;
}

const NAME = /^[A-Za-z0-9_-]{1,120}$/;

/** Throws a FedradError that says what the site does not allow in this work. */
export function checkWork({ step, inputs, run }: Work, site: Site): void {
  const where = `step ${step.id}`;
  const refuse = (problem: string): never => fail(where, problem, "it is the site's policy: docs/agent.md");
  // Outputs lie in folders of this name: it must not be the one of a folder that is there already.
  if (!isNewRunId(run)) refuse('its run has another name than fedrad gives');
  if (step.compute !== site.compute) refuse(`it is for ${step.compute}; this is ${site.compute}`);
  const row = SITE_POLICY[step.component];
  if (!row) {
    refuse(`the component ${step.component} does not run in a hospital`);
    return;
  }
  const spec = COMPONENTS[step.component];
  const isOwn = (uri: string): boolean => site.datastores.includes(parseDatastoreUri(uri, where).datastore);

  for (const [name, input] of Object.entries(step.inputs)) {
    if (!NAME.test(name) || !matches(spec.inputs, name)) refuse(`${step.component} has no such input`);
    if (input.from === 'local' && !row.imports) refuse(`input ${name}: only data upload reads files of this machine`);
    if (input.from === 'datastore' && !isOwn(input.path)) refuse(`input ${name} lies in a datastore of somebody else`);
  }
  for (const [name, { path }] of Object.entries(inputs)) {
    if (step.inputs[name]?.from !== 'step') refuse('it came with an input that it does not have');
    if (!isOwn(path) && !matches(row.arrive, name)) refuse(`input ${name} lies in a datastore of somebody else`);
  }
  const missing = Object.entries(step.inputs).find(
    ([name, input]) => input.from === 'step' && !input.optional && !(name in inputs),
  );
  if (missing) refuse(`input ${missing[0]} did not come with it`);

  if (Object.keys(step.outputs).sort().join() !== [...spec.outputs].sort().join()) {
    refuse(`expected the outputs ${spec.outputs.join(', ')}`);
  }
  for (const [name, template] of Object.entries(step.outputs)) {
    const uri = outputUri(template, run);
    if (!isOwn(uri) && !row.leave.includes(name)) refuse(`output ${name} must not leave the hospital`);
    // So it can neither take the place of the hospital's data nor of another run's.
    if (isOwn(uri) && !row.replace && !parseDatastoreUri(uri).path.split('/').includes(run)) {
      refuse(`output ${name} must lie in a folder of its run`);
    }
  }
  if (step.replace && !row.replace) refuse('its outputs may not replace others');
  const isCache = (uri: string): boolean => isOwn(uri) && parseDatastoreUri(uri).path === CACHE_PATH;
  if (step.cache !== undefined && !(row.cache && isCache(step.cache))) refuse('it may not have that cache');
  if (step.network && !row.network) refuse('it may not use the network');
  const secret = step.secrets.find((each) => !row.secrets?.includes(each));
  if (secret !== undefined) refuse('it asks for a secret that it may not have');
  const parameters = spec.parameters.safeParse(step.parameters);
  if (!parameters.success) {
    const [issue] = parameters.error.issues;
    refuse(`parameter ${issue?.path.join('.')}: ${issue?.message}`);
  }
  if (step.component === 'upload-data') checkSource(step.parameters['source'], site, refuse);
}

/** Credentials go to the address that the orchestrator names, unless the site looks at it. */
function checkSource(source: unknown, { kaggleUrl }: Site, refuse: (problem: string) => never): void {
  if (typeof source !== 'object' || source === null || !('baseUrl' in source)) return;
  if (source.baseUrl !== kaggleUrl) refuse(`its Kaggle address is not ${kaggleUrl}`);
}

const matches = (patterns: readonly string[], name: string): boolean =>
  patterns.some((pattern) =>
    pattern.endsWith('_*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern.replace(/\?$/, ''),
  );
