/** @file `fedrad orchestrator start`: the service of a workspace across hospitals: it answers joins and runs what is submitted. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { closeEndedRuns, patiently, prepareStreams, watchAgents } from '../across/index.ts';
import { fail, messageOf } from '../base/index.ts';
import { openFederation } from '../messaging/index.ts';
import { openRunHistory, openWorkspace, type RunHistory, tryLock } from '../workspace/index.ts';
import { homeOf } from './context.ts';
import { daemonLock, executeRun, type FederationLink } from './execute.ts';
import { integerOption, type NamedWorkspace, workspaceName, workspaceOptions } from './options.ts';
import { serveOrchestratorHealth } from './orchestrator-health.ts';

const LOOK_MS = 500;
/** A run that could not be run here is tried again after this, then twice this, and so on; */
const RETRY_MS = 5000;
/** so often in all. Then it has failed, and `fedrad run resume` is a person's decision. */
const MAX_TAKES = 6;

interface StartOptions extends NamedWorkspace {
  readonly http: string;
  readonly runs: number;
  readonly cores?: number;
}

export function addOrchestratorStart(group: Command): void {
  workspaceOptions(group.command('start'))
    .description('answer hospitals that join and run what is submitted, until stopped; unfinished runs go on')
    .option('--http <host:port>', 'where /healthz, /readyz and /metrics are served', '127.0.0.1:9464')
    .option('--runs <n>', 'runs at the same time; others are queued', integerOption(1, 100), 4)
    .option('--cores <n>', 'cores for its own steps (default: all)', integerOption(1, 1024))
    .addHelpText('after', '\nExample:\n  fedrad orchestrator start --workspace_name aml-fldemo')
    .action((options: StartOptions, command: Command) => start(homeOf(command), options));
}

async function start(home: string, options: StartOptions): Promise<void> {
  const workspace = await openWorkspace(home, workspaceName(options));
  const name = workspace.description.workspaceName;
  const federation = await openFederation(home, name);
  using lock = tryLock(daemonLock(home, name));
  if (!lock) fail(`workspace "${name}"`, 'its orchestrator is running already', 'fedrad run list');
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const say = (text: string): void => console.log(`${new Date().toISOString()} ${text}`);
  const nc = await federation.connect('orchestrator');
  using history = await openRunHistory(home);
  const closing: (() => Promise<unknown>)[] = [() => nc.close()];
  try {
    const silos = [...workspace.computes.values()].filter(({ role }) => role === 'silo').map((each) => each.name);
    const ended = history.list().filter(({ workspace, status }) => workspace === name && isOver(status));
    const prepare = async () => {
      // Who was revoked while nats-server could not be told.
      await federation.publishAccounts();
      await prepareStreams(nc, silos);
      // What nats-server missed of revocations while it was away.
      await federation.publishAccounts();
      await closeEndedRuns(
        { nc, federation, onProblem: say },
        silos,
        new Map(ended.map(({ id, status }) => [id, status])),
      );
      return watchAgents(nc, federation, silos, () => new Date(), say);
    };
    const agents = await patiently('nats-server', prepare, stop.signal, say).catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
    if (!agents) return;
    closing.push(() => agents.close());
    const joins = federation.answerJoins(nc, {
      onJoined: ({ compute, fingerprint }) => say(`${compute} has joined, with fingerprint ${fingerprint}`),
      onProblem: say,
    });
    closing.push(() => joins.close());
    const health = await serveOrchestratorHealth(options.http, {
      home,
      workspace: name,
      history,
      federation,
      agents,
      nc,
    });
    closing.push(() => health.close());
    say(`orchestrator of ${name}: connected to ${federation.url}; ${options.http} serves /healthz and /metrics`);
    await takeRuns({ home, name, history, link: { federation, nc }, options, signal: stop.signal, say });
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    for (const close of closing.reverse()) await close();
  }
}

const isOver = (status: string): boolean => ['COMPLETED', 'FAILED', 'CANCELED'].includes(status);

interface Service {
  readonly home: string;
  readonly name: string;
  readonly history: RunHistory;
  readonly link: FederationLink;
  readonly options: StartOptions;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** Ends a run that this service cannot run, unless somebody else holds it. */
function giveUp(history: RunHistory, id: string, problem: string): void {
  using lock = history.lock(id);
  if (!lock) return;
  const reason = `the orchestrator could not run it, ${MAX_TAKES} times: ${problem}`;
  history.append(id, { type: 'finished', status: 'FAILED', reason, at: new Date().toISOString() });
}

/** Takes queued and interrupted runs, oldest first, until stopped; those that it holds are then interrupted. */
async function takeRuns({ home, name, history, link, options, signal, say }: Service): Promise<void> {
  const held = new Map<string, Promise<void>>();
  /** Runs that could not be run here: how often, and when they may be tried again. */
  const troubled = new Map<string, { readonly takes: number; readonly notBefore: number }>();
  const run = async (id: string): Promise<void> => {
    try {
      const { cores } = options;
      const outcome = await executeRun(home, history, id, {
        ...{ quiet: true, signal, link, onProblem: (text: string) => say(`run ${id}: ${text}`) },
        ...(cores === undefined ? {} : { cores }),
      });
      say(`run ${id}: ${outcome.status}${'reason' in outcome ? `: ${outcome.reason}` : ''}`);
    } catch (error) {
      const takes = (troubled.get(id)?.takes ?? 0) + 1;
      troubled.set(id, { takes, notBefore: Date.now() + RETRY_MS * 2 ** (takes - 1) });
      say(`run ${id}: could not be run (${takes} of ${MAX_TAKES}): ${messageOf(error)}`);
      if (takes === MAX_TAKES) giveUp(history, id, messageOf(error));
    } finally {
      held.delete(id);
    }
  };
  while (!signal.aborted) {
    for (const { id, workspace, status } of history.list()) {
      if (workspace !== name || isOver(status) || held.has(id) || held.size >= options.runs) continue;
      if (history.isLocked(id) || Date.now() < (troubled.get(id)?.notBefore ?? 0)) continue;
      say(`run ${id}: taken`);
      held.set(id, run(id));
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
  await Promise.all(held.values());
}
