/** @file What a federation keeps in JetStream, made by the orchestrator. Safe to run again. */
import {
  AckPolicy,
  type ConsumerConfig,
  DiscardPolicy,
  JetStreamApiError,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import {
  AGENTS_BUCKET,
  endSubject,
  endsStream,
  MODELS_BUCKET,
  prepareBucket,
  RUNS_BUCKET,
  updatesBucket,
  WORK_STREAM,
  workConsumer,
  workSubject,
} from '../messaging/index.ts';

/** JetStream's number for it. */
const STREAM_NOT_FOUND = 10059;
const NANOSECONDS = 1_000_000;
const DAY_MS = 24 * 3600_000;
/** Work that nobody says to be busy with for so long is given out again. */
const ACK_WAIT_MS = 30_000;
/** Work given out so often, each time to an agent that died, is not work any more. */
const MAX_DELIVER = 1000;
/** Steps that one hospital holds at once, over all runs. */
const MAX_HELD = 64;

type Stream = Partial<StreamConfig> & { readonly name: string };

const WORK: Stream = {
  name: WORK_STREAM,
  subjects: [workSubject('*', '*')],
  retention: RetentionPolicy.Workqueue,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_bytes: 256 * 2 ** 20,
};

const endsOf = (compute: string): Stream => ({
  name: endsStream(compute),
  allow_direct: true,
  subjects: [endSubject(compute, '*')],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  // Ends of a closed run are removed; this is for runs that nobody ever closed.
  max_age: 90 * DAY_MS * NANOSECONDS,
  max_bytes: 256 * 2 ** 20,
  discard: DiscardPolicy.New,
});

/** @param computes of the silos */
export async function prepareStreams(nc: NatsConnection, computes: readonly string[]): Promise<void> {
  const jsm = await jetstreamManager(nc);
  for (const stream of [WORK, ...computes.map(endsOf)]) {
    const exists = await jsm.streams.info(stream.name).then(
      () => true,
      (error: unknown) => {
        if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return false;
        throw error;
      },
    );
    await (exists ? jsm.streams.update(stream.name, stream) : jsm.streams.add(stream));
  }
  for (const compute of computes) {
    await jsm.consumers.add(WORK_STREAM, consumerOf(compute));
    await prepareBucket(nc, updatesBucket(compute));
  }
  await prepareBucket(nc, MODELS_BUCKET);
  const kvm = new Kvm(nc);
  for (const bucket of [AGENTS_BUCKET, RUNS_BUCKET])
    await kvm.create(bucket, { history: 1, storage: StorageType.File, allow_direct: true });
  // A bucket takes `Nats-Rollup: all`, by which a hospital's heartbeat would remove those of all others.
  await jsm.streams.update(`KV_${AGENTS_BUCKET}`, { allow_rollup_hdrs: false });
}

const consumerOf = (compute: string): Partial<ConsumerConfig> => ({
  durable_name: workConsumer(compute),
  filter_subject: workSubject(compute, '*'),
  ack_policy: AckPolicy.Explicit,
  ack_wait: ACK_WAIT_MS * NANOSECONDS,
  max_deliver: MAX_DELIVER,
  max_ack_pending: MAX_HELD,
});
