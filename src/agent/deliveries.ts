/**
 * @file Taking work from the queue and answering its deliveries. An answer goes to the subject that came with the delivery
 * (JetStream's acknowledgement protocol: https://docs.nats.io/reference/reference-protocols/nats_api_reference), so it can be given
 * over another connection than the delivery came by, and by another process.
 */
import { type Consumer, jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { WORK_STREAM, workConsumer } from '../messaging/index.ts';

export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Where it is answered. */
  readonly ack: string;
  /** It was delivered before. */
  readonly redelivered: boolean;
}

/** One question to the queue waits so long; whoever asks goes on asking. */
export const PULL_MS = 5_000;
const CONFIRM_TIMEOUT_MS = 5_000;

/** Takes work from the queue of `compute` over one connection. */
export function openQueue(connection: NatsConnection, compute: string) {
  let consumer: Consumer | undefined;
  return {
    /** The next work, or nothing after {@link PULL_MS} or when `signal` comes. @throws when there is no such queue (yet) */
    next: async (signal: AbortSignal): Promise<Delivery | undefined> => {
      consumer ??= await jetstream(connection).consumers.get(WORK_STREAM, workConsumer(compute));
      const messages = await consumer.fetch({ max_messages: 1, expires: PULL_MS });
      const stop = (): void => messages.stop();
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      try {
        for await (const message of messages) {
          const { subject, data, redelivered } = message;
          return { subject, data, redelivered, ack: replyOf(message) };
        }
        return undefined;
      } finally {
        signal.removeEventListener('abort', stop);
        messages.stop();
      }
    },
  };
}

/** The client has it, and does not tell its type. */
function replyOf(message: object): string {
  if ('reply' in message && typeof message.reply === 'string' && message.reply !== '') return message.reply;
  throw new Error('a message of the queue came without a place to answer it');
}

const ANSWERS = { working: '+WPI', again: '-NAK', never: '+TERM' } as const;

/** Answers without waiting: it is still worked on, it must come again, it must never come again. */
export const answer = (connection: NatsConnection, ack: string, what: keyof typeof ANSWERS): void =>
  connection.publish(ack, ANSWERS[what]);

/** Tells the queue that the work is done, and waits until it knows. @throws when it does not say so in time */
export async function confirmDone(connection: NatsConnection, ack: string): Promise<void> {
  await connection.request(ack, '+ACK', { timeout: CONFIRM_TIMEOUT_MS });
}
