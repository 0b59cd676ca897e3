/**
 * @file Who may do what on the wire; nats-server holds everybody to it, and nothing here relies on the good will of an agent. Pure.
 *
 * Every hospital has an account of its own, and reaches the federation's account only through imports that name its compute. Permissions of
 * users inside one account would not be enough: a server's answer goes to whatever reply subject a request names, also to one that its
 * sender may not publish to, so that `reply: $JS.API.STREAM.PURGE.…` would make the server purge what is another's
 * (`permissions.test.ts` tries it). Between accounts an answer stays in the account of who asked. For the same reason no hospital may
 * create a consumer: its messages go to a subject that the request's body names.
 *
 * nats-server gives each account a `$JS.API` of its own, which answers first that there is no JetStream; a hospital imports that of the
 * federation as `fedrad.api`, and its connection translates (connect.ts), so that JetStream's clients work as they are.
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

/** A service of the federation's account, open to the accounts that the operator signs and that import it. */
export interface Service {
  readonly name: string;
  readonly subject: string;
  /** One request may have many answers. */
  readonly streams?: true;
}

/** What the federation's account offers; each hospital imports its own part. */
export const SERVICES: readonly Service[] = [
  { name: 'join', subject: joinSubject('*') },
  { name: 'work-consumer', subject: `$JS.API.CONSUMER.INFO.${WORK_STREAM}.*` },
  { name: 'work-next', subject: `$JS.API.CONSUMER.MSG.NEXT.${WORK_STREAM}.*`, streams: true },
  { name: 'work-ack', subject: `$JS.ACK.${WORK_STREAM}.*.>` },
  { name: 'ends', subject: 'fedrad.ends.*.>' },
  { name: 'talk', subject: 'fedrad.talk.*.>' },
  { name: 'heartbeat', subject: `$KV.${AGENTS_BUCKET}.*` },
  { name: 'runs', subject: `$JS.API.DIRECT.GET.KV_${RUNS_BUCKET}` },
  { name: 'read', subject: '$JS.API.DIRECT.GET.*.>' },
  { name: 'chunks', subject: '$O.*.C.>' },
  { name: 'infos', subject: '$O.*.M.>' },
  { name: 'bucket', subject: '$JS.API.STREAM.INFO.*' },
  { name: 'forget', subject: '$JS.API.STREAM.PURGE.*' },
];

/** Where a hospital finds a service of the federation's account. */
export const localSubject = (subject: string): string => subject.replace(/^\$JS\.API\./, 'fedrad.api.');

/** What the account of a hospital imports; all of it names its compute, or is for all to read. */
export function siloImports(compute: string): readonly string[] {
  const consumer = `${WORK_STREAM}.${workConsumer(compute)}`;
  const updates = updatesBucket(compute);
  return [
    // Its work: the consumer is there; it only asks, and acknowledges what it was given.
    `$JS.API.CONSUMER.INFO.${consumer}`,
    `$JS.API.CONSUMER.MSG.NEXT.${consumer}`,
    `$JS.ACK.${consumer}.>`,
    // What it says.
    `fedrad.ends.${compute}.>`,
    `fedrad.talk.${compute}.>`,
    `$KV.${AGENTS_BUCKET}.${compute}`,
    // What all may read: which runs are over, and the global models.
    `$JS.API.DIRECT.GET.KV_${RUNS_BUCKET}`,
    `$JS.API.DIRECT.GET.OBJ_${MODELS_BUCKET}.>`,
    // Its own updates: written, read to go on after an interruption, and forgotten.
    `$JS.API.DIRECT.GET.OBJ_${updates}.>`,
    `$O.${updates}.C.>`,
    `$O.${updates}.M.>`,
    `$JS.API.STREAM.INFO.OBJ_${updates}`,
    `$JS.API.STREAM.PURGE.OBJ_${updates}`,
  ];
}

/** Of the agent of a compute: its account's imports, and its own inbox. */
export const siloPermissions = (compute: string): Permissions => ({
  publish: siloImports(compute).map(localSubject),
  subscribe: [anyInboxOf(inboxPrefix(compute))],
});

const anyInboxOf = (prefix: string): string => `${prefix}.>`;

/** Prefix of the inbox of whoever holds an invitation. */
export const invitationInbox = (invitation: string): string => `_INBOX_${invitation}`;

/** Of an invitation: one request, and its answer. */
export const invitationPermissions = (invitation: string): Permissions => ({
  publish: [joinSubject(invitation)],
  subscribe: [anyInboxOf(invitationInbox(invitation))],
});

/** What the account of all invitations imports. */
export const JOIN_IMPORTS: readonly string[] = [joinSubject('*')];
