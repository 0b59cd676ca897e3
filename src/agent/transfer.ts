/** @file Content that comes and goes as objects of the server, by run and content hash. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { FedradError, orAborted } from '../base/index.ts';
import {
  MODELS_BUCKET,
  ObjectDamaged,
  ObjectMissing,
  type Objects,
  openObjects,
  updatesBucket,
} from '../messaging/index.ts';
import { type ContentHash, codeOf } from '../workspace/index.ts';

export interface Content extends ContentHash {
  readonly run: string;
}

export interface Transfer {
  /** Writes the orchestrator's content to a path where nothing lies; false where it is gone or damaged. */
  fetch(content: Content, path: string, signal: AbortSignal): Promise<boolean>;
  /** Puts the content at this path where the orchestrator finds it, unless it is there. */
  send(content: Content, path: string, signal: AbortSignal): Promise<void>;
}

/** An object that is not there is looked for so often: the orchestrator puts it before it sends the work that needs it. */
const TRIES = 3;
const MISSING_RETRY_MS = 500;

/** Transfer over whichever connection there is. An interrupted one goes on where it was. */
export function objectTransfer(
  compute: string,
  connection: (signal: AbortSignal) => Promise<NatsConnection>,
): Transfer {
  const opened = new WeakMap<NatsConnection, Objects>();
  const objects = async (signal: AbortSignal): Promise<Objects> => {
    const current = await connection(signal);
    const known = opened.get(current) ?? openObjects(current);
    opened.set(current, known);
    return known;
  };
  return {
    fetch: async ({ run, ...hash }, path, signal) => {
      // Until the signal where the network is lost for long: only what the server says of the object counts.
      for (let missed = 0; missed < TRIES; ) {
        try {
          await (await objects(signal)).get(MODELS_BUCKET, run, hash, path, { signal });
          return true;
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof ObjectMissing || error instanceof ObjectDamaged) missed += 1;
          else if (!(error instanceof FedradError) || isDiskFull(error)) throw error;
          await orAborted(sleep(MISSING_RETRY_MS), signal);
        }
      }
      return false;
    },
    send: async ({ run, ...hash }, path, signal) => {
      await (await objects(signal)).put(updatesBucket(compute), run, path, hash, { signal });
    },
  };
}

const isDiskFull = ({ cause }: FedradError): boolean => ['ENOSPC', 'EDQUOT'].includes(codeOf(cause) ?? '');
