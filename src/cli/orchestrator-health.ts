/** @file What Prometheus and a supervisor see of the orchestrator's service. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { type Agents, AWAY_MS } from '../across/index.ts';
import { type HealthServer, parseHealthAddress, startHealthServer } from '../messaging/index.ts';
import { foldRun, type RunHistory } from '../workspace/index.ts';
import type { FederationLink } from './execute.ts';
import { readGraph } from './run-folder.ts';

export interface HealthSources extends FederationLink {
  readonly home: string;
  readonly workspace: string;
  readonly history: RunHistory;
  readonly agents: Agents;
}

const STATES = ['invited', 'joined', 'suspended', 'revoked'] as const;
const STATUSES = ['QUEUED', 'WAITING', 'RUNNING', 'DEGRADED', 'COMPLETED', 'FAILED', 'CANCELED'] as const;

/** Serves /healthz, /readyz and /metrics. @param address as given to `--http` */
export function serveOrchestratorHealth(address: string, sources: HealthSources): Promise<HealthServer> {
  return startHealthServer(parseHealthAddress(address, '--http'), {
    ready: () => (isConnected(sources) ? true : 'not connected to nats-server'),
    registry: registryOf(sources),
  });
}

const isConnected = ({ nc }: HealthSources): boolean => nc.info !== undefined && !nc.isClosed();

function registryOf(sources: HealthSources): Registry {
  const { home, workspace, history, agents, federation } = sources;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []): Gauge =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const connected = gauge('fedrad_nats_connected', '1 while connected to nats-server');
  const runs = gauge('fedrad_runs', 'Runs of this workspace by status', ['status']);
  const waiting = gauge('fedrad_steps_waiting', 'Steps that wait for a hospital that is away');
  const failures = new Counter({
    name: 'fedrad_step_failures_total',
    help: 'Failed attempts at steps, in all runs of this workspace',
    labelNames: ['compute'],
    registers: [registry],
  });
  const countFailures = failureCounter(home, history, (compute) => failures.inc({ compute }));
  const present = gauge('fedrad_agent_connected', `1 when heard within ${AWAY_MS / 1000} s`, ['compute']);
  const age = gauge('fedrad_agent_heartbeat_age_seconds', 'Since the last heartbeat', ['compute']);
  const state = gauge('fedrad_silo_state', '1 for the state of the hospital', ['compute', 'state']);
  const collect = async (): Promise<void> => {
    connected.set(Number(isConnected(sources)));
    const own = history.list().filter((run) => run.workspace === workspace);
    for (const status of STATUSES) runs.set({ status }, own.filter((run) => run.status === status).length);
    const live = own.filter(({ finishedAt }) => finishedAt === undefined);
    waiting.set(live.reduce((sum, { id }) => sum + stepsWaiting(history, id), 0));
    for (const { id } of own) await countFailures(id);
    for (const silo of await federation.silos()) {
      const { compute } = silo;
      // The first failure is an increase only of a figure that was there.
      failures.inc({ compute }, 0);
      for (const each of STATES) state.set({ compute, state: each }, Number(silo.state === each));
      const seen = agents.seen(compute);
      const seconds = seen ? (Date.now() - seen.seenAt) / 1000 : Number.NaN;
      present.set({ compute }, Number(seconds * 1000 < AWAY_MS && seen?.heartbeat.state !== 'stopped'));
      if (seen) age.set({ compute }, seconds);
    }
  };
  return Object.assign(registry, {
    metrics: async () => {
      await collect();
      return Registry.prototype.metrics.call(registry);
    },
  });
}

const stepsWaiting = (history: RunHistory, id: string): number =>
  [...foldRun(history.events(id)).steps.values()].filter(({ waiting }) => waiting !== undefined).length;

/** Tells of every failed attempt of a run once, however often it is asked: the history is read on from where it was. */
export function failureCounter(home: string, history: RunHistory, onFailure: (compute: string) => void) {
  const read = new Map<string, number>();
  return async (id: string): Promise<void> => {
    const failed: string[] = [];
    // Nothing is awaited before all is marked as read, so that no two scrapes count the same event.
    for (const event of history.events(id, read.get(id))) {
      read.set(id, event.seq);
      if (event.type === 'step-failed') failed.push(event.step);
    }
    if (failed.length === 0) return;
    // A run whose folder somebody removed has failed all the same.
    const graph = await readGraph(home, id).catch(() => undefined);
    for (const name of failed) onFailure(graph?.steps.find((step) => step.id === name)?.compute ?? 'unknown');
  };
}
