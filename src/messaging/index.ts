/** What the other rooms may use of messaging. */

export { type ConnectOptions, type Credentials, connectMessaging, growOnce, pendingBytes } from './connect.ts';
export { type Federation, type Invited, openFederation } from './federation.ts';
export { type HealthServer, type HealthSource, parseHealthAddress, startHealthServer } from './health-server.ts';
export { type FederationOptions, type MadeFederation, makeFederation } from './make-federation.ts';
export {
  hasMembership,
  type JoinOptions,
  joinFederation,
  type Membership,
  membershipFolder,
  openMembership,
} from './membership.ts';
export {
  type End,
  endSchema,
  type Heartbeat,
  heartbeatSchema,
  type RunEntry,
  runEntrySchema,
  type Talk,
  talkSchema,
  type Work,
  workSchema,
} from './messages.ts';
export { type Objects, type ObjectsOptions, openObjects, prepareBucket, type TransferOptions } from './objects.ts';
export { ObjectDamaged, ObjectMissing } from './objects-wire.ts';
export { readKey } from './read-bucket.ts';
export { seal, unseal } from './seal.ts';
export type { Silo, SiloState } from './silos.ts';
export {
  AGENTS_BUCKET,
  endSubject,
  endsStream,
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
