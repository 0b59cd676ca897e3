/** What the other rooms may use of across. */
export { type Agents, AWAY_MS, lastHeartbeats, watchAgents } from './agents.ts';
export { closeEndedRuns, type NatsBackendOptions, natsBackend } from './nats-backend.ts';
export { patiently } from './patiently.ts';
export { prepareStreams } from './streams.ts';
