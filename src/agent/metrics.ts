/** @file Figures of the agent for Prometheus. */
import { statfs } from 'node:fs/promises';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type AgentMetrics = ReturnType<typeof openMetrics>;

/** @param folder on the disk whose free space is told; a scrape fails while it cannot be asked */
export function openMetrics(folder: string) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    connected: new Gauge({ name: 'fedrad_agent_nats_connected', help: '1 while connected to the server', registers }),
    diskFree: new Gauge({
      name: 'fedrad_agent_disk_free_bytes',
      help: 'Free for the agent on the disk of its home',
      registers,
      async collect() {
        const { bavail, bsize } = await statfs(folder);
        this.set(bavail * bsize);
      },
    }),
    running: new Gauge({ name: 'fedrad_agent_steps_running', help: 'Steps that run now', registers }),
    ended: new Counter({
      name: 'fedrad_agent_steps_total',
      help: 'Attempts of steps by how they ended',
      labelNames: ['end'],
      registers,
    }),
    seconds: new Histogram({
      name: 'fedrad_agent_step_seconds',
      help: 'Wall clock of attempts that ran',
      labelNames: ['component'],
      buckets: [1, 5, 15, 60, 300, 900, 3600, 14_400],
      registers,
    }),
    rejected: new Counter({
      name: 'fedrad_agent_rejected_messages_total',
      help: 'Messages that the orchestrator had not signed, or that could not be read',
      registers,
    }),
    remembered: new Counter({
      name: 'fedrad_agent_remembered_total',
      help: 'Deliveries of work that had ended already, answered from the journal',
      registers,
    }),
    received: new Counter({ name: 'fedrad_agent_received_bytes_total', help: 'Bytes of models fetched', registers }),
    sent: new Counter({
      name: 'fedrad_agent_sent_bytes_total',
      help: 'Bytes of updates and evaluations sent',
      registers,
    }),
  };
}
