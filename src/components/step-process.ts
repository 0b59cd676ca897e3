/** @file The process of one step: reads its command line, runs the component, reports in JSON lines, exits with 0, 1 (a defect) or 3 (refused). */
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { FedradError, FULL_DISK, messageOf } from '../base/index.ts';
import type { Reporter, StepContext } from './component.ts';
import type { StepMessage } from './messages.ts';
import { COMPONENTS } from './specs.ts';
import { parseStepArguments } from './step-arguments.ts';

/** Exit code of a step that ended with an error for the user: trying again would give the same. */
export const REFUSED = 3;

/** Runs the step that the arguments describe; resolves with the exit code. */
export async function runStep(args: readonly string[]): Promise<number> {
  try {
    const step = parseStepArguments(args);
    const secrets = step.attached ? await readSecrets() : {};
    const spec = COMPONENTS[step.component];
    const parameters = spec.parameters.parse(step.parameters);
    for (const folder of [step.scratch, ...step.outputs.values()]) await mkdir(folder, { recursive: true });
    const { run } = await spec.load();
    const context: StepContext<unknown> = { ...step, parameters, secrets, cache: step.cache, report };
    await run(context as never);
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    send({ type: 'usage', cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, maxRssBytes: maxRSS * 1024 });
    return 0;
  } catch (error) {
    return explain(error);
  }
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

const report: Reporter = {
  progress: (done, total, text) => send({ type: 'progress', done, total, text }),
  metric: (name, value, iteration) =>
    send({ type: 'metric', name, value, ...(iteration === undefined ? {} : { iteration }) }),
  note: (text) => send({ type: 'note', text }),
};

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
