/**
 * @file One attempt of a step in this hospital, from its message to its end: checked against the site's policy, its inputs found, its
 * process run in the sandbox, its outputs put into the hospital's datastores or into the outbox. Sends nothing but talk.
 */
import { mkdir } from 'node:fs/promises';
import { type AttemptEnd, publishOutputs, runStepHere, type StepHost } from '../backends/index.ts';
import { FedradError, FULL_DISK, fail, messageOf, withoutPaths } from '../base/index.ts';
import { COMPONENTS, mayLeave, type StepMessage } from '../components/index.ts';
import type { End, Talk, Work } from '../messaging/index.ts';
import { codeOf, type LocalDatastore, parseDatastoreUri, type StepOutput } from '../workspace/index.ts';
import { findInputs, type InputPlaces } from './inputs.ts';
import type { Log } from './log.ts';
import { checkWork, type Site } from './site-policy.ts';
import type { AgentVault } from './vault.ts';

export interface RunWorkOptions extends Omit<InputPlaces, 'takeObject'> {
  readonly site: Site;
  readonly vault: AgentVault;
  /** What this machine gives to the steps of a run. */
  readonly hostOf: (run: string) => StepHost;
  /** Threads for a step that uses them. */
  readonly threads: number;
  /** Outputs that leave wait here. */
  readonly outboxOf: (run: string) => Promise<LocalDatastore>;
  readonly takeObject: (run: string, output: StepOutput, signal: AbortSignal) => ReturnType<InputPlaces['takeObject']>;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds. */
  readonly clock: () => number;
}

/** Of one attempt; what a step says beyond it is talk only. */
const MAX_MESSAGES = 10_000;
/** Where an output waits in the outbox of its run. */
export const outboxPath = ({ step, attempt }: { step: string; attempt: number }, output: string): string =>
  `${step}.${attempt}/${output}`;

/** Runs the work; undefined where `signal` stopped it. Throws nothing that the work, its data or a full disk can cause. */
export async function runWork(
  work: Work,
  options: RunWorkOptions,
  talk: (message: Talk['message']) => void,
  signal: AbortSignal,
): Promise<End | undefined> {
  const { run, attempt, step } = work;
  const messages: StepMessage[] = [];
  const start = options.clock();
  const onMessage = (message: StepMessage): void => {
    talk(message);
    const kept = message.type === 'metric' || message.type === 'usage';
    if (kept && messages.length < MAX_MESSAGES) messages.push(message);
  };
  const ended = await runToEnd(work, options, { onMessage, talk, signal });
  if (signal.aborted || ended.kind === 'aborted') return undefined;
  return {
    ...{ kind: 'end', run, step: step.id, attempt, compute: options.site.compute },
    end: toLeave(ended),
    ...{ messages: messages.map(mayLeave), seconds: (options.clock() - start) / 1000 },
  };
}

interface Hooks {
  readonly onMessage: (message: StepMessage) => void;
  readonly talk: (message: Talk['message']) => void;
  readonly signal: AbortSignal;
}

async function runToEnd(work: Work, options: RunWorkOptions, hooks: Hooks): Promise<AttemptEnd> {
  try {
    return await checkAndRun(work, options, hooks);
  } catch (error) {
    if (hooks.signal.aborted) return { kind: 'aborted' };
    if (error instanceof FedradError) return { kind: 'refused', error: error.message, logTail: [] };
    if (['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? ''))
      return { kind: 'refused', error: `hospital: ${FULL_DISK}; free some space there`, logTail: [] };
    // A defect, or a machine in trouble: the hospital's log has it whole.
    options.log.error(`step ${work.step.id}: ${error instanceof Error ? error.stack : error}`);
    return { kind: 'crashed', error: messageOf(error), logTail: [] };
  }
}

async function checkAndRun(
  work: Work,
  options: RunWorkOptions,
  { onMessage, talk, signal }: Hooks,
): Promise<AttemptEnd> {
  const { run, attempt, step, redone } = work;
  const { datastores, imports } = options;
  checkWork(work, options.site);
  const host = options.hostOf(run);
  if (step.component === 'train-in-silo-pytorch' && !host.torch)
    fail(`step ${step.id}`, 'this hospital does not train in PyTorch', 'at the hospital: fedrad agent --pytorch');
  const secrets = await options.vault.reveal(step.secrets);
  const inputs = await findInputs(work, {
    ...{ datastores, imports },
    takeObject: (output) => options.takeObject(run, output, signal),
  });
  if (inputs.kind === 'lost') return { kind: 'inputs-lost', inputs: inputs.names };
  try {
    await mkdir(host.logs, { recursive: true, mode: 0o700 });
    const outbox = await options.outboxOf(run);
    const threads = 'threads' in COMPONENTS[step.component].needs ? options.threads : 1;
    talk({ type: 'started', threads });
    return await runStepHere(host, {
      ...{ step, attempt, inputs: inputs.paths, threads, secrets, signal, onMessage },
      ...(step.cache === undefined ? {} : { cache: localPath(datastores, step.cache) }),
      publish: (folder) =>
        publishOutputs({ run, step, folder, redone }, (uri, name) => {
          const at = parseDatastoreUri(uri);
          const own = datastores.get(at.datastore);
          return own
            ? { datastore: own, path: at.path }
            : { datastore: outbox, path: outboxPath({ step: step.id, attempt }, name) };
        }),
    });
  } finally {
    inputs.release();
  }
}

const localPath = (datastores: ReadonlyMap<string, LocalDatastore>, uri: string): string => {
  const { datastore, path } = parseDatastoreUri(uri);
  return datastores.get(datastore)!.localPath(path);
};

/** The end without what must not leave. */
function toLeave(end: Exclude<AttemptEnd, { kind: 'aborted' }>): End['end'] {
  switch (end.kind) {
    case 'completed':
      return { kind: 'completed', outputs: { ...end.outputs } };
    case 'inputs-lost':
      return { kind: 'inputs-lost', inputs: [...end.inputs] };
    default:
      return { kind: end.kind, error: withoutPaths(end.error), logTail: end.logTail.map(withoutPaths) };
  }
}
