/** @file What Prometheus and a supervisor see of the orchestrator's service. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { type Agents, AWAY_MS } from '../backends/index.ts';
import { type HealthServer, parseHealthAddress, startHealthServer } from '../messaging/index.ts';
import { foldRun, type RunHistory } from '../workspace/index.ts';
import type { FederationLink } from './execute.ts';

export interface HealthSources extends FederationLink {
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
  const { workspace, history, agents, federation } = sources;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []): Gauge =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const connected = gauge('fedrad_nats_connected', '1 while connected to nats-server');
  const runs = gauge('fedrad_runs', 'Runs of this workspace by status', ['status']);
  const waiting = gauge('fedrad_steps_waiting', 'Steps that wait for a hospital that is away');
  const failures = gauge('fedrad_step_failures_total', 'Failed attempts in runs that go on', ['compute']);
  const present = gauge('fedrad_agent_connected', `1 when heard within ${AWAY_MS / 1000} s`, ['compute']);
  const age = gauge('fedrad_agent_heartbeat_age_seconds', 'Since the last heartbeat', ['compute']);
  const state = gauge('fedrad_silo_state', '1 for the state of the hospital', ['compute', 'state']);
  const collect = async (): Promise<void> => {
    connected.set(Number(isConnected(sources)));
    const own = history.list().filter((run) => run.workspace === workspace);
    for (const status of STATUSES) runs.set({ status }, own.filter((run) => run.status === status).length);
    const [waits, failed] = liveFigures(
      history,
      own.filter(({ finishedAt }) => finishedAt === undefined).map(({ id }) => id),
    );
    waiting.set(waits);
    failures.reset();
    for (const [compute, count] of failed) failures.set({ compute }, count);
    for (const silo of await federation.silos()) {
      const { compute } = silo;
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

/** Steps that wait, and failed attempts by step's silo prefix, of the runs that go on. */
function liveFigures(history: RunHistory, ids: readonly string[]): [number, Map<string, number>] {
  let waits = 0;
  const failed = new Map<string, number>();
  for (const id of ids) {
    for (const [step, { waiting, attempts }] of foldRun(history.events(id)).steps) {
      if (waiting !== undefined) waits += 1;
      const count = attempts.filter(({ status }) => status === 'failed').length;
      if (count > 0) failed.set(step, (failed.get(step) ?? 0) + count);
    }
  }
  return [waits, failed];
}
