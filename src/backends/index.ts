/** What the other rooms may use of backends. */
export type { Backend, Outcome, RunUpdate } from './backend.ts';
export type { AttemptEnd } from './executor.ts';
export { type LocalBackendOptions, localBackend } from './local/local-backend.ts';
export { runStepHere, type StepHost, type StepWork } from './local/run-step-here.ts';
export { detectSandbox, type SandboxKind } from './local/sandbox.ts';
export { type Agents, AWAY_MS, lastHeartbeats, watchAgents } from './nats/agents.ts';
export { closeEndedRuns, type NatsBackendOptions, natsBackend } from './nats/nats-backend.ts';
export { patiently } from './nats/patiently.ts';
export { prepareStreams } from './nats/streams.ts';
export { type OutputPlace, outputUri, publishOutputs } from './publish-outputs.ts';
