/** @file The process of one step: reads its command line, runs the component, reports in JSON lines, exits with 0, 1 (a defect) or 3 (refused). */
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { FedradError, FULL_DISK, messageOf } from '../base/index.ts';
import type { StepTracking } from '../tracking/index.ts';
import type { Reporter, StepContext } from './component.ts';
import { messageIn, type StepMessage } from './messages.ts';
import { COMPONENTS } from './specs.ts';
import { parseStepArguments } from './step-arguments.ts';
import { runWithoutPaths, WITHOUT_PATHS } from './step-without-paths.ts';

/** Exit code of a step that ended with an error for the user: trying again would give the same. */
export const REFUSED = 3;

/** Runs the step that the arguments describe; resolves with the exit code. */
export async function runStep(args: readonly string[]): Promise<number> {
  if (args.includes(WITHOUT_PATHS)) return runWithoutPaths(args);
  let tracking: StepTracking | undefined;
  try {
    const step = parseStepArguments(args);
    const secrets = step.attached ? await readSecrets() : {};
    const spec = COMPONENTS[step.component];
    const parameters = spec.parameters.parse(step.parameters);
    for (const folder of [step.scratch, ...step.outputs.values()]) await mkdir(folder, { recursive: true });
    const { run } = await spec.load();
    tracking = await openTracking(step.component, step.parameters);
    const report = tracking ? trackedReporter(tracking) : reporter;
    const context: StepContext<unknown> = { ...step, parameters, secrets, cache: step.cache, report };
    await run(context as never);
    await tracking?.close('FINISHED');
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    send({ type: 'usage', cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, maxRssBytes: maxRSS * 1024 });
    return 0;
  } catch (error) {
    // First, so that the error is the last line.
    await tracking?.close('FAILED');
    return explain(error);
  }
}

/** Where Azure ML, or whoever runs the step by hand, names an MLflow server. A backend's own sandbox has neither such a name nor a network. */
async function openTracking(
  component: string,
  parameters: Readonly<Record<string, unknown>>,
): Promise<StepTracking | undefined> {
  if (!process.env['MLFLOW_TRACKING_URI']) return undefined;
  const { trackStep } = await import('../tracking/index.ts');
  const warn = (text: string): void => console.error(`note: ${text}`);
  return trackStep({ component, parameters, environment: process.env, now: Date.now, warn });
}

/** Writes the error as the last line of the log, which is what the user reads first; gives the exit code. */
function explain(error: unknown): number {
  if (error instanceof FedradError) {
    console.error(error.message);
    return REFUSED;
  }
  if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') {
    console.error(`step: ${FULL_DISK} (${error.message}); free some space, then fedrad run resume`);
    return REFUSED;
  }
  console.error(error);
  console.error(messageOf(error));
  return 1;
}

const send = (message: StepMessage): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

/** Whoever looks at a training sees no more, and every word of it wakes several processes beside it. */
const PROGRESS_MS = 500;

/** Says how far the work is at most twice a second; its end at once. */
function openProgress(): Reporter['progress'] {
  let [saidAt, saidOf] = [Number.NEGATIVE_INFINITY, 0];
  return (done, total, text) => {
    const now = performance.now();
    if (now - saidAt < PROGRESS_MS && total === saidOf && done < total) return;
    [saidAt, saidOf] = [now, total];
    send({ type: 'progress', done, total, text });
  };
}

const reporter: Reporter = {
  progress: openProgress(),
  metric: (name, value, iteration) =>
    send({ type: 'metric', name, value, ...(iteration === undefined ? {} : { iteration }) }),
  note: (text) => send({ type: 'note', text }),
};

/** Tells MLflow too. */
const trackedReporter = (tracking: StepTracking): Reporter => ({
  ...reporter,
  metric: (name, value, iteration) => {
    reporter.metric(name, value, iteration);
    tracking.metric(name, value, iteration);
  },
  relay: (line) => {
    process.stdout.write(`${line}\n`);
    const message = messageIn(line);
    if (message?.type === 'metric') tracking.metric(message.name, message.value, message.iteration);
  },
});

/** The first line of standard input; from then on its end ends this process. */
async function readSecrets(): Promise<Record<string, string>> {
  const lines = createInterface({ input: process.stdin });
  const first = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve);
    lines.once('close', () => reject(new Error('standard input ended before the secrets came')));
  });
  lines.once('close', () => process.exit(1));
  return z.record(z.string(), z.string()).parse(JSON.parse(first));
}
