/**
 * @file Who talks where: the subjects, streams, key-value and object buckets of a federation in NATS JetStream.
 *
 * A hospital's credentials allow exactly the subjects that carry its own compute's name, and reading of what is for all.
 */

/** Steps to be run, until a compute has done them: a work queue. */
export const WORK_STREAM = 'FEDRAD_WORK';
/** What became of the steps of a compute. Read again from the start by an orchestrator that was killed. One each: nobody fills another's. */
export const endsStream = (compute: string): string => `FEDRAD_ENDS_${compute}`;
/** Key-value: the last heartbeat of each compute. */
export const AGENTS_BUCKET = 'FEDRAD_AGENTS';
/** Key-value: runs that were canceled or have ended, and work that is not waited for any more, by run; read by every agent. */
export const RUNS_BUCKET = 'FEDRAD_RUNS';
/** Objects: global models, written by the orchestrator, read by every compute. */
export const MODELS_BUCKET = 'fedrad_models';
/** Objects: what a compute gives; written by it, read by the orchestrator. */
export const updatesBucket = (compute: string): string => `fedrad_updates_${compute}`;

export const workSubject = (compute: string, run: string): string => `fedrad.work.${compute}.${run}`;
/** Durable consumer of the work of one compute. */
export const workConsumer = (compute: string): string => compute;
export const endSubject = (compute: string, run: string): string => `fedrad.ends.${compute}.${run}`;
/** Not stored: progress, metrics as they come and log lines, for whoever looks. */
export const talkSubject = (compute: string, run: string): string => `fedrad.talk.${compute}.${run}`;
/** Requests to join, answered by the orchestrator; one for each invitation. */
export const joinSubject = (invitation: string): string => `fedrad.join.${invitation}`;
/** Prefix of the inbox of a compute: replies to it, and to nobody else, arrive there. */
export const inboxPrefix = (compute: string): string => `_INBOX_${compute}`;
