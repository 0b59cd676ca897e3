/**
 * @file Sending one object: chunks in order, several on their way, then its description, which makes it whole. Each chunk is stored only where
 * there is none of its number, so nothing that arrives twice or late can spoil it; after an interruption the server is asked what it has.
 */
import { headers } from '@nats-io/transport-node';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { answerOf, Interrupted, type Line } from './objects-line.ts';
import {
  allChunks,
  CHUNK_BYTES,
  chunkCount,
  chunkSubject,
  digestOf,
  encodeInfo,
  infoSubject,
  type ObjectInfo,
  type Place,
  streamOf,
  whereOf,
} from './objects-wire.ts';

/** Chunks on their way at once. */
const WINDOW = 6;
/** JetStream's "wrong last sequence": a chunk of this number is there already. */
const THERE_ALREADY = 10071;

/** What is to be sent. */
export interface Source {
  readonly bytes: number;
  /** The bytes from `start` on, in memory that nobody else uses until it is given back. */
  read(start: number, bytes: number): Promise<Uint8Array>;
  /** Gives the memory back. Not called for what may still be on its way. */
  done(chunk: Uint8Array): void;
}

export interface SendOptions {
  readonly kind: ObjectInfo['kind'];
  /** SHA-256 of the source's bytes. */
  readonly digest: string;
  /** Largest message that the server takes, bytes. */
  readonly maxPayload: number;
  /** Called as chunks arrive, with bytes. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** Sends an object that is not there yet. */
export async function sendObject(line: Line, place: Place, source: Source, options: SendOptions): Promise<void> {
  // Headers count as payload.
  const chunkBytes = Math.min(CHUNK_BYTES, options.maxPayload - 1024);
  const chunks = chunkCount(source.bytes, chunkBytes);
  const info = { kind: options.kind, bytes: source.bytes, chunkBytes, chunks, digest: digestOf(options.digest) };
  const send = async (): Promise<void> => {
    await sendChunks(line, place, source, info, await chunksThere(line, place, info), options.onProgress);
    const rollup = headers();
    rollup.set('Nats-Rollup', 'sub');
    refuse(answerOf(await line.once(infoSubject(place), encodeInfo(place, info), rollup), whereOf(place)).error, place);
  };
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      await line.pause();
    }
  }
}

async function sendChunks(
  line: Line,
  place: Place,
  source: Source,
  { bytes, chunkBytes, chunks }: ObjectInfo,
  from: number,
  onProgress: SendOptions['onProgress'],
): Promise<void> {
  const empty = headers();
  empty.set('Nats-Expected-Last-Subject-Sequence', '0');
  const underway: Promise<void>[] = [];
  const store = async (index: number, chunk: Uint8Array): Promise<void> => {
    const reply = await line.once(chunkSubject(place, chunkBytes, index), chunk, empty);
    const { error } = answerOf(reply, whereOf(place));
    if (error?.number !== THERE_ALREADY) refuse(error, place);
    source.done(chunk);
    line.moved();
    onProgress?.(Math.min(bytes, (index + 1) * chunkBytes));
  };
  onProgress?.(Math.min(bytes, from * chunkBytes));
  for (let index = from; index < chunks; index++) {
    const start = index * chunkBytes;
    const chunk = await source.read(start, Math.min(chunkBytes, bytes - start));
    const stored = store(index, chunk);
    // The first failure is thrown below; the others are its echoes.
    stored.catch(() => {});
    underway.push(stored);
    if (underway.length >= WINDOW) await underway.shift();
  }
  await Promise.all(underway);
}

const subjectsSchema = z.object({ state: z.object({ subjects: z.record(z.string(), z.int()).nullish() }) });

/** How many chunks lie there without a gap; what lies behind a gap is removed, so that the stream keeps the order of the chunks. */
async function chunksThere(line: Line, place: Place, { chunkBytes, chunks }: ObjectInfo): Promise<number> {
  const filter = allChunks(place, chunkBytes);
  const subjects = await subjectsThere(line, place.bucket, filter, whereOf(place));
  let count = 0;
  while (count < chunks && subjects.has(chunkSubject(place, chunkBytes, count))) count++;
  for (const subject of subjects) {
    const index = Number(subject.slice(subject.lastIndexOf('.') + 1));
    if (index >= count) await purge(line, place.bucket, subject, whereOf(place));
  }
  return count;
}

/** The subjects under a filter that have messages. */
export async function subjectsThere(line: Line, bucket: string, filter: string, where: string): Promise<Set<string>> {
  const subjects = new Set<string>();
  for (;;) {
    const request = JSON.stringify({ subjects_filter: filter, offset: subjects.size });
    const { json, error } = await askJetStream(line, `$JS.API.STREAM.INFO.${streamOf(bucket)}`, request, where);
    if (error) return fail(where, `JetStream says: ${error.description}`, remedyOf(bucket));
    const page = Object.keys(subjectsSchema.parse(json).state.subjects ?? {});
    const before = subjects.size;
    for (const subject of page) subjects.add(subject);
    // The server gives at most 100,000 at once.
    if (subjects.size === before || page.length < 100_000) return subjects;
  }
}

/** Removes all messages under a filter. */
export async function purge(line: Line, bucket: string, filter: string, where: string): Promise<void> {
  const subject = `$JS.API.STREAM.PURGE.${streamOf(bucket)}`;
  const { error } = await askJetStream(line, subject, JSON.stringify({ filter }), where);
  if (error) fail(where, `JetStream says: ${error.description}`, remedyOf(bucket));
}

async function askJetStream(line: Line, subject: string, request: string, where: string) {
  for (;;) {
    const answer = answerOf(await line.ask(subject, request), where);
    if (answer.error?.code !== 503) return answer;
    await line.pause();
  }
}

const remedyOf = (bucket: string): string =>
  `bucket ${bucket} is made when the orchestrator starts: fedrad orchestrator start`;

/** Throws for what JetStream did not store. */
function refuse(error: ReturnType<typeof answerOf>['error'], { bucket, ...place }: Place): void {
  if (error === undefined) return;
  // Unavailable for now: starting, or a cluster that elects its leader. Storage that is used up has a number of its own.
  const full = [10023, 10047, 10028, 10077].includes(error.number);
  if (error.code === 503 && !full) throw new Interrupted();
  const remedy = full
    ? 'free space for nats-server, or give its JetStream more (max_file_store); what is stored stays'
    : remedyOf(bucket);
  fail(whereOf({ bucket, ...place }), `it was not stored: ${error.description}`, remedy);
}
