/** @file `fedrad agent`: what a hospital runs. Dials out, takes steps for its own compute, runs them here. */
import { access, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { agentPaths, objectTransfer, openJournal, openLog, readStatus, startAgent } from '../agent/index.ts';
import { detectSandbox } from '../backends/index.ts';
import { fail } from '../base/index.ts';
import { describeTorch, findTorch } from '../components/index.ts';
import { openMembership, parseHealthAddress, startHealthServer } from '../messaging/index.ts';
import { KAGGLE_URL } from '../radiographs/index.ts';
import { isHeld } from '../workspace/index.ts';
import { addAgentLogsCommand } from './agent-logs.ts';
import { addAgentSecretCommands } from './agent-secret.ts';
import { homeOf, printJson, table } from './context.ts';
import { describeKernels } from './describe-kernels.ts';
import { integerOption } from './options.ts';
import { packageVersion } from './package-version.ts';

interface StartOptions {
  readonly concurrency: number;
  readonly cores?: number;
  readonly import: readonly string[];
  readonly pytorch?: boolean;
  readonly cacheGb: number;
  readonly http?: string;
  readonly json?: boolean;
}

const stepProgram = join(import.meta.dirname, '..', '..', 'bin', 'fedrad-step.js');
/** `drain` asks so often whether the agent has ended. */
const DRAIN_POLL_MS = 250;

export function addAgentCommands(root: Command): void {
  const group = root
    .command('agent')
    .description('run this hospital: take steps for its compute, run them here, send what may leave')
    .addHelpText('after', '\nExample:\n  fedrad agent\n  fedrad agent status\n  fedrad agent drain');
  group
    .command('start', { isDefault: true })
    .description('run until drained or stopped; Ctrl-C and SIGTERM stop at once, what ran then runs again')
    .option('--concurrency <n>', 'steps at once; they share the cores', integerOption(1, 64), 1)
    .option('--cores <n>', 'cores to use (default: all)', integerOption(1, 1024))
    .option('--import <folder...>', 'folders that upload-data may read images from', [])
    .option('--pytorch', 'train in PyTorch where config.yaml says so; Python is looked for at the start')
    .option('--cache-gb <n>', 'models that are kept on disk, of all open runs', integerOption(1, 100_000), 10)
    .option('--http <host:port>', 'serve /healthz, /readyz and /metrics there, for this machine: 127.0.0.1:9465')
    .option('--json', 'log JSON lines')
    .addHelpText('after', '\nExample:\n  fedrad agent --import /srv/radiographs --http 127.0.0.1:9465')
    .action(async (options: StartOptions, command: Command) => start(homeOf(command), options));

  group
    .command('status')
    .description('what the agent does, or did last')
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExample:\n  fedrad agent status')
    .action(async ({ json }: { json?: boolean }, command: Command) => showStatus(homeOf(command), json ?? false));

  group
    .command('drain')
    .description('let the agent finish what runs, take nothing new, and end')
    .option('--timeout <seconds>', 'wait at most so long', integerOption(1, 10_000_000), 86_400)
    .option('--json', 'print as JSON')
    .addHelpText('after', '\nExample:\n  fedrad agent drain')
    .action(async (options: { timeout: number; json?: boolean }, command: Command) =>
      drain(homeOf(command), options.timeout, options.json ?? false),
    );
  addAgentLogsCommand(group);
  addAgentSecretCommands(group);
}

async function start(home: string, options: StartOptions): Promise<void> {
  const membership = await openMembership(home);
  const sandbox = detectSandbox();
  const torch = options.pytorch ? await findTorch('fedrad agent --pytorch', { home }) : undefined;
  const now = () => new Date();
  const log = openLog({ write: (line) => void process.stderr.write(line), now, json: options.json ?? false });
  if (sandbox !== 'bubblewrap') log.warn('no bubblewrap here: steps run on one thread, held by Node alone');
  const agent = await startAgent({
    ...{ home, membership, sandbox, stepProgram, log, now, version: packageVersion, kaggleUrl: KAGGLE_URL },
    openTransfer: (connection) => objectTransfer(membership.compute, connection),
    kernels: [await describeKernels(), ...(torch ? [describeTorch(torch)] : [])].join('; '),
    ...(torch ? { torch } : {}),
    ...{ cores: options.cores ?? availableParallelism(), concurrency: options.concurrency },
    ...{ imports: options.import, cacheBytes: options.cacheGb * 1e9 },
  });
  const onSignal = (): void => {
    // A second signal ends the process as signals do.
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    log.info('stopping: what runs is stopped and comes again');
    void agent.stop();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const health =
      options.http === undefined
        ? undefined
        : await startHealthServer(parseHealthAddress(options.http, '--http'), {
            ready: agent.ready,
            registry: agent.registry,
          });
    if (health) log.info(`health and metrics on port ${health.port}`);
    await agent.ended;
    await health?.close();
  } catch (error) {
    await agent.stop();
    throw error;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** What is known of a home's agent, and whether it runs. */
async function agentOf(home: string) {
  const paths = agentPaths(home);
  const running = (await exists(paths.lock)) && isHeld(paths.lock);
  const last = await readStatus(paths.status);
  return { paths, running, last };
}

async function showStatus(home: string, json: boolean): Promise<void> {
  const { paths, running, last } = await agentOf(home);
  const ended = (await exists(paths.journal)) ? recentEnds(paths.journal) : [];
  if (json) return printJson({ alive: running, ...(last ? { last } : {}), ended });
  if (!last) return console.log(running ? 'The agent starts.' : 'No agent has run here yet (fedrad agent).');
  const state = running ? `${last.state}, ${last.connected ? 'connected' : 'not connected'}` : 'not running';
  console.log(`${last.compute} of ${last.workspace}: ${state}, said at ${last.at}`);
  const pid = running ? `, pid ${last.pid}` : '';
  console.log(`fedrad ${last.version}${pid}, ${last.cores} cores, sandbox ${last.sandbox}, ${last.kernels}`);
  if (running && last.running.length > 0) {
    const rows = last.running.map(({ run, step, attempt, phase, since }) => [run, step, String(attempt), phase, since]);
    console.log(`\n${table(['RUN', 'STEP', 'ATTEMPT', 'PHASE', 'SINCE'], rows)}`);
  }
  if (ended.length > 0) {
    const rows = ended.slice(0, 10).map(({ run, step, attempt, kind, at }) => [run, step, String(attempt), kind, at]);
    console.log(`\n${table(['RUN', 'STEP', 'ATTEMPT', 'ENDED', 'AT'], rows)}`);
  }
}

function recentEnds(path: string) {
  using journal = openJournal(path);
  return journal.recent();
}

async function drain(home: string, timeoutSeconds: number, json: boolean): Promise<void> {
  const { paths, running } = await agentOf(home);
  const tell = (drained: boolean, text: string): void => (json ? printJson({ drained }) : console.log(text));
  if (!running) return tell(false, 'No agent runs here.');
  await writeFile(paths.drain, '');
  const deadline = performance.now() + timeoutSeconds * 1000;
  let waitsFor = '';
  while (isHeld(paths.lock)) {
    const running = (await readStatus(paths.status))?.running ?? [];
    const steps = running.map(({ run, step }) => `${step} of ${run}`).join(', ');
    if (steps !== '' && steps !== waitsFor) console.error(`Waiting for ${steps}.`);
    waitsFor = steps;
    if (performance.now() > deadline) {
      fail('fedrad agent drain', `it has not ended after ${timeoutSeconds} s`, 'fedrad agent status; it still drains');
    }
    await sleep(DRAIN_POLL_MS);
  }
  tell(true, 'The agent has finished what it had, and ended.');
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
