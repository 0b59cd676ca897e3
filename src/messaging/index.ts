/** What the other rooms may use of messaging. */
export { type HealthServer, type HealthSource, parseHealthAddress, startHealthServer } from './health-server.ts';
export {
  type End,
  endSchema,
  type Heartbeat,
  heartbeatSchema,
  type RunClosed,
  runClosedSchema,
  type Talk,
  talkSchema,
  type Work,
  workSchema,
} from './messages.ts';
export { seal, unseal } from './seal.ts';
export {
  AGENTS_BUCKET,
  ENDS_STREAM,
  endSubject,
  inboxPrefix,
  joinSubject,
  MODELS_BUCKET,
  RUNS_BUCKET,
  talkSubject,
  updatesBucket,
  WORK_STREAM,
  workConsumer,
  workSubject,
} from './subjects.ts';
