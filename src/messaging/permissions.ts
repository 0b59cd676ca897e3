/**
 * @file What the JWT of a hospital, and that of an invitation, allow on the wire. nats-server holds them to it; nothing here relies on the
 * good will of an agent. Pure.
 */
import {
  AGENTS_BUCKET,
  inboxPrefix,
  joinSubject,
  MODELS_BUCKET,
  RUNS_BUCKET,
  updatesBucket,
  WORK_STREAM,
  workConsumer,
} from './subjects.ts';

/** Subjects, in the notation of NATS; what is not named is refused. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

const objects = (bucket: string): string => `OBJ_${bucket}`;
const keyValue = (bucket: string): string => `KV_${bucket}`;
const anyInboxOf = (prefix: string): string => `${prefix}.>`;

/** Of the agent of a compute. */
export function siloPermissions(compute: string): Permissions {
  const runs = keyValue(RUNS_BUCKET);
  const models = objects(MODELS_BUCKET);
  const updates = objects(updatesBucket(compute));
  const consumer = `${WORK_STREAM}.${workConsumer(compute)}`;
  return {
    publish: [
      // Its work: the consumer is there, it only asks and acknowledges.
      `$JS.API.CONSUMER.INFO.${consumer}`,
      `$JS.API.CONSUMER.MSG.NEXT.${consumer}`,
      `$JS.ACK.${consumer}.>`,
      // What it says.
      `fedrad.ends.${compute}.>`,
      `fedrad.talk.${compute}.>`,
      `$KV.${AGENTS_BUCKET}.${compute}`,
      // What all may read: which runs are over, and the global models.
      ...reading(runs),
      ...reading(models),
      // Its own updates, written and read again to resume.
      ...reading(updates),
      `$O.${updatesBucket(compute)}.C.>`,
      `$O.${updatesBucket(compute)}.M.>`,
      `$JS.API.STREAM.PURGE.${updates}`,
    ],
    subscribe: [anyInboxOf(inboxPrefix(compute))],
  };
}

/**
 * Reading a stream. Its consumers deliver to the reader: what a stream holds is for all who may read it, so whatever the consumer
 * filters by gives no more.
 */
const reading = (stream: string): string[] => [
  `$JS.API.STREAM.INFO.${stream}`,
  `$JS.API.STREAM.MSG.GET.${stream}`,
  `$JS.API.DIRECT.GET.${stream}`,
  `$JS.API.DIRECT.GET.${stream}.>`,
  `$JS.API.CONSUMER.CREATE.${stream}.>`,
  `$JS.API.CONSUMER.INFO.${stream}.*`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
  `$JS.API.CONSUMER.DELETE.${stream}.*`,
  `$JS.ACK.${stream}.>`,
];

/** Prefix of the inbox of whoever holds an invitation. */
export const invitationInbox = (invitation: string): string => `_INBOX_${invitation}`;

/** Of an invitation: one request, and its answer. */
export const invitationPermissions = (invitation: string): Permissions => ({
  publish: [joinSubject(invitation)],
  subscribe: [anyInboxOf(invitationInbox(invitation))],
});
