/** What the other rooms may use of messaging. */
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
export { type Objects, type ObjectsOptions, openObjects, prepareBucket, type TransferOptions } from './objects.ts';
export { ObjectDamaged, ObjectMissing } from './objects-wire.ts';
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
