/**
 * @file Brings the end of an attempt to the orchestrator: first the objects that leave, then the end message, then the answer to the
 * queue; each is known to have arrived before the next. All of it may be done twice.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { messageOf, orAborted } from '../base/index.ts';
import { type End, endSubject, seal } from '../messaging/index.ts';
import { type LocalDatastore, parseDatastoreUri } from '../workspace/index.ts';
import { confirmDone } from './deliveries.ts';
import { isSame } from './inputs.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';
import { outboxPath } from './run-work.ts';
import type { Transfer } from './transfer.ts';

export interface SendEndOptions {
  readonly link: Link;
  readonly compute: string;
  readonly signingKey: KeyObject;
  readonly transfer: Transfer;
  readonly datastores: ReadonlyMap<string, LocalDatastore>;
  readonly outboxOf: (run: string) => Promise<LocalDatastore>;
  readonly log: Log;
}

const PUBLISH_TIMEOUT_MS = 10_000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;
const CONFIRM_TRIES = 3;

/** Whether the outputs that the end names are still here, as they were. */
export async function isStillHere(end: End, { datastores, outboxOf }: SendEndOptions): Promise<boolean> {
  if (end.end.kind !== 'completed') return true;
  const outbox = await outboxOf(end.run);
  for (const [name, { path, sha256 }] of Object.entries(end.end.outputs)) {
    const at = parseDatastoreUri(path);
    const own = datastores.get(at.datastore);
    const same = own ? await isSame(own, at.path, sha256) : await isSame(outbox, outboxPath(end, name), sha256);
    if (!same) return false;
  }
  return true;
}

/**
 * Sends until everything has arrived, however long the network is gone; `signal` (the run is closed, the agent stops) ends it.
 *
 * @param ack gives the place of the last delivery of the work
 */
export async function sendEnd(
  end: End,
  ack: () => string,
  options: SendEndOptions,
  signal: AbortSignal,
): Promise<boolean> {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      await sendObjects(end, options, signal);
      const connection = await options.link.connection(signal);
      const bytes = seal(end, options.signingKey);
      await jetstream(connection).publish(endSubject(options.compute, end.run), bytes, {
        // Sent again, it is the same message.
        msgID: createHash('sha256').update(bytes).digest('base64url'),
        timeout: PUBLISH_TIMEOUT_MS,
      });
      return await answerQueue(end, ack, options, signal);
    } catch (error) {
      if (signal.aborted) return false;
      options.log.warn(`the end of ${end.step} has not arrived yet: ${messageOf(error)}`, { run: end.run });
      const wait = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries, 10));
      await orAborted(sleep(wait), signal).catch(() => {});
    }
  }
  return false;
}

async function sendObjects(end: End, { datastores, outboxOf, transfer }: SendEndOptions, signal: AbortSignal) {
  if (end.end.kind !== 'completed') return;
  const outbox = await outboxOf(end.run);
  for (const [name, { path, sha256, bytes }] of Object.entries(end.end.outputs)) {
    if (datastores.has(parseDatastoreUri(path).datastore)) continue;
    await transfer.send({ run: end.run, sha256, bytes }, outbox.localPath(outboxPath(end, name)), signal);
  }
}

/** Where the answer does not arrive, the work comes again and is answered from the journal. */
async function answerQueue(end: End, ack: () => string, { link, log }: SendEndOptions, signal: AbortSignal) {
  for (let tries = 1; tries <= CONFIRM_TRIES; tries++) {
    try {
      await confirmDone(await link.connection(signal), ack());
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      log.warn(`the queue has not answered for ${end.step}: ${messageOf(error)}`, { run: end.run });
    }
  }
  return false;
}
