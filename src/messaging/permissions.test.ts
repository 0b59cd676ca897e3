/**
 * @file What a hospital's credentials allow, tried on a real nats-server: all it needs, and nothing of another's, also not by the trick of
 * a request whose answer goes where its sender may not publish.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { connectMessaging } from './connect.ts';
import { membershipFolder } from './membership.ts';
import { localSubject, SERVICES, siloImports } from './permissions.ts';
import { readKey } from './read-bucket.ts';
import {
  AGENTS_BUCKET,
  endSubject,
  endsStream,
  inboxPrefix,
  MODELS_BUCKET,
  RUNS_BUCKET,
  talkSubject,
  updatesBucket,
  WORK_STREAM,
  workConsumer,
  workSubject,
} from './subjects.ts';
import { skipWithoutNats, startFederation, type TestFederation } from './testing.ts';

const options = { skip: skipWithoutNats };
const [OWN, OTHER] = ['silo0-01', 'silo1-01'];
const STREAMS = [
  WORK_STREAM,
  endsStream(OWN),
  endsStream(OTHER),
  `KV_${RUNS_BUCKET}`,
  `KV_${AGENTS_BUCKET}`,
  ...[MODELS_BUCKET, updatesBucket(OWN), updatesBucket(OTHER)].map((bucket) => `OBJ_${bucket}`),
];

interface Stage {
  readonly started: TestFederation;
  readonly orchestrator: NatsConnection;
  readonly own: NatsConnection;
  readonly other: NatsConnection;
  /** Last sequence numbers and counts of all streams: what a refused trick must not change. */
  state(): Promise<unknown[][]>;
}

/** Two hospitals, and the streams that an orchestrator makes. */
async function stage(t: TestContext): Promise<Stage> {
  const started = await startFederation(t, { silos: 2 });
  const orchestrator = await started.federation.connect('orchestrator');
  const manager = await jetstreamManager(orchestrator);
  await manager.streams.add({
    ...{ name: WORK_STREAM, subjects: ['fedrad.work.>'], retention: RetentionPolicy.Workqueue },
  });
  for (const compute of [OWN, OTHER])
    await manager.streams.add({ name: endsStream(compute), subjects: [endSubject(compute, '*')] });
  for (const bucket of [RUNS_BUCKET, AGENTS_BUCKET]) await new Kvm(jetstream(orchestrator)).create(bucket);
  for (const bucket of [MODELS_BUCKET, updatesBucket(OWN), updatesBucket(OTHER)]) {
    await manager.streams.add({
      ...{ name: `OBJ_${bucket}`, subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`] },
      ...{ allow_direct: true, allow_rollup_hdrs: true },
    });
    await jetstream(orchestrator).publish(`$O.${bucket}.C.run.hash.0`, `a chunk of ${bucket}`);
  }
  for (const compute of [OWN, OTHER]) {
    await manager.consumers.add(WORK_STREAM, {
      ...{ durable_name: workConsumer(compute), filter_subject: workSubject(compute, '>') },
      ack_policy: AckPolicy.Explicit,
    });
    await jetstream(orchestrator).publish(workSubject(compute, 'run'), `work of ${compute}`);
  }
  const [own, other] = await Promise.all(started.hospitals.map(({ membership }) => membership.connect('test')));
  t.after(async () => {
    for (const connection of [own!, other!, orchestrator]) await connection.close();
  });
  const state = async (): Promise<unknown[][]> => {
    const infos = await Promise.all(STREAMS.map((stream) => manager.streams.info(stream)));
    const consumers = await Promise.all(
      STREAMS.map(async (stream) => (await manager.consumers.list(stream).next()).length),
    );
    return infos.map(({ config, state }, i) => [
      config.name,
      config.description,
      state.messages,
      state.last_seq,
      consumers[i],
    ]);
  };
  return { started, orchestrator, own: own!, other: other!, state };
}

test('a hospital gets at all it needs', options, async (t) => {
  const { own, orchestrator } = await stage(t);
  // Its work, by the client's own consumer.
  const consumer = await jetstream(own).consumers.get(WORK_STREAM, workConsumer(OWN));
  const messages = await consumer.fetch({ max_messages: 2, expires: 1_000 });
  const seen: string[] = [];
  for await (const message of messages) {
    seen.push(`${message.subject}: ${message.string()}`);
    message.working();
    assert.ok(await message.ackAck());
  }
  assert.deepEqual(seen, [`${workSubject(OWN, 'run')}: work of ${OWN}`]);
  const manager = await jetstreamManager(orchestrator);
  assert.equal((await manager.consumers.info(WORK_STREAM, OWN)).num_ack_pending, 0);

  const talk = orchestrator.subscribe(talkSubject('*', '>'), { max: 1 });
  await orchestrator.flush();
  own.publish(talkSubject(OWN, 'run'), 'hello');
  for await (const message of talk) assert.equal(message.subject, talkSubject(OWN, 'run'));

  assert.equal(
    (await jetstream(own).publish(endSubject(OWN, 'run'), 'an end', { msgID: 'a' })).stream,
    endsStream(OWN),
  );
  assert.ok((await jetstream(own).publish(endSubject(OWN, 'run'), 'an end', { msgID: 'a' })).duplicate);
  const agents = await new Kvm(own).open(AGENTS_BUCKET, { bindOnly: true });
  await agents.put(OWN, 'a heartbeat');

  const direct = async (stream: string, subject: string): Promise<string> =>
    (await own.request(`$JS.API.DIRECT.GET.${stream}.${subject}`)).string();
  for (const bucket of [MODELS_BUCKET, updatesBucket(OWN)]) {
    assert.equal(await direct(`OBJ_${bucket}`, `$O.${bucket}.C.run.hash.0`), `a chunk of ${bucket}`);
  }
  const runs = await new Kvm(jetstream(orchestrator)).open(RUNS_BUCKET);
  await runs.put('run-a', 'closed');
  assert.equal(Buffer.from((await readKey(own, RUNS_BUCKET, 'run-a'))!).toString(), 'closed');
  assert.equal(await readKey(own, RUNS_BUCKET, 'run-b'), undefined);
  await runs.delete('run-a');
  assert.equal(await readKey(own, RUNS_BUCKET, 'run-a'), undefined);

  const bucket = updatesBucket(OWN);
  await jetstream(own).publish(`$O.${bucket}.C.run.hash.1`, new Uint8Array(1024 * 1024));
  await jetstream(own).publish(`$O.${bucket}.M.name`, 'info');
  const api = async (what: string, body = '') =>
    (await own.request(`$JS.API.${what}.OBJ_${bucket}`, body)).json<Record<string, unknown>>();
  assert.equal((await api('STREAM.INFO'))['error'], undefined);
  assert.equal((await api('STREAM.PURGE', JSON.stringify({ filter: `$O.${bucket}.C.>` })))['purged'], 2);
});

test('a hospital gets at nothing of another one, of the streams or of the server', options, async (t) => {
  const { started, other, orchestrator, state } = await stage(t);
  // Without the translation of an honest hospital's connection.
  const own = await plainConnection(t, started.hospitals[0]!.home);
  const before = await state();
  const others = updatesBucket(OTHER);
  const models = `OBJ_${MODELS_BUCKET}`;
  const consumerOf = (stream: string, filter: string): string =>
    JSON.stringify({ stream_name: stream, config: { name: 'spy', filter_subject: filter, ack_policy: 'none' } });
  const requests: readonly (readonly [subject: string, body?: string])[] = [
    // Another's work, words and heartbeat.
    [`$JS.API.CONSUMER.MSG.NEXT.${WORK_STREAM}.${OTHER}`, '1'],
    [`$JS.API.CONSUMER.INFO.${WORK_STREAM}.${OTHER}`],
    [`$JS.ACK.${WORK_STREAM}.${OTHER}.1.1.1.1.0`, '+TERM'],
    [workSubject(OWN, 'run')],
    [workSubject(OTHER, 'run')],
    [endSubject(OTHER, 'run')],
    [talkSubject(OTHER, 'run')],
    [`$KV.${AGENTS_BUCKET}.${OTHER}`],
    [`$KV.${RUNS_BUCKET}.run`],
    ['fedrad.join.00000000000000000000000000000000'],
    // Models and another's updates.
    [`$O.${MODELS_BUCKET}.C.run.hash.0`],
    [`$O.${others}.C.run.hash.0`],
    [`$O.${others}.M.name`],
    [`$JS.API.DIRECT.GET.OBJ_${others}.$O.${others}.C.run.hash.0`],
    [`$JS.API.DIRECT.GET.OBJ_${others}`, JSON.stringify({ seq: 1 })],
    [`$JS.API.STREAM.MSG.GET.OBJ_${others}`, JSON.stringify({ seq: 1 })],
    [`$JS.API.DIRECT.GET.${WORK_STREAM}`, JSON.stringify({ seq: 1 })],
    [`$JS.API.DIRECT.GET.KV_${AGENTS_BUCKET}`, JSON.stringify({ seq: 1 })],
    // Streams and consumers.
    ...STREAMS.flatMap((stream) => [
      [`$JS.API.STREAM.DELETE.${stream}`] as const,
      [`$JS.API.STREAM.UPDATE.${stream}`, JSON.stringify({ name: stream, description: 'mine now' })] as const,
      [`$JS.API.STREAM.MSG.DELETE.${stream}`, JSON.stringify({ seq: 1 })] as const,
      [`$JS.API.CONSUMER.CREATE.${stream}`, consumerOf(stream, '>')] as const,
      [`$JS.API.CONSUMER.CREATE.${stream}.spy`, consumerOf(stream, '>')] as const,
      [`$JS.API.CONSUMER.CREATE.${stream}.spy.${workSubject(OTHER, 'run')}`, consumerOf(stream, '>')] as const,
      [`$JS.API.CONSUMER.DURABLE.CREATE.${stream}.spy`, consumerOf(stream, '>')] as const,
      [`$JS.API.CONSUMER.LIST.${stream}`] as const,
      [`$JS.API.STREAM.SNAPSHOT.${stream}`, JSON.stringify({ deliver_subject: 'x' })] as const,
    ]),
    ...STREAMS.filter((stream) => stream !== `OBJ_${updatesBucket(OWN)}`).flatMap((stream) => [
      [`$JS.API.STREAM.INFO.${stream}`] as const,
      [`$JS.API.STREAM.PURGE.${stream}`] as const,
    ]),
    [`$JS.API.CONSUMER.DELETE.${WORK_STREAM}.${OWN}`],
    [`$JS.API.STREAM.CREATE.MINE`, JSON.stringify({ name: 'MINE', subjects: ['mine'] })],
    ['$JS.API.STREAM.NAMES'],
    ['$JS.API.STREAM.LIST'],
    ['$JS.API.INFO'],
    [`$JS.API.STREAM.INFO.${models}`],
    // The server itself.
    ['$SYS.REQ.CLAIMS.UPDATE', 'x'],
    ['$SYS.REQ.SERVER.PING'],
    ['$SYS.REQ.USER.INFO'],
  ];
  const heard: string[] = [];
  for (const connection of [other, orchestrator]) {
    const all = connection === other ? `_INBOX_${OTHER}.>` : 'fedrad.>';
    connection.subscribe(all, { callback: (_error, { subject }) => void heard.push(subject) });
  }
  for (const [subject, body] of requests) {
    for (const way of new Set([subject, localSubject(subject)])) {
      // A refusal comes at once; silence is one as well.
      const answer = await own.request(way, body ?? '', { timeout: 2_000 }).then(
        (message) => message.string(),
        () => undefined,
      );
      assert.equal(answer, undefined, `${way} was answered: ${answer}`);
    }
  }
  for (const subject of ['>', '_INBOX.>', `_INBOX_${OTHER}.>`, '$O.>', 'fedrad.>', '$SYS.>', `$KV.${RUNS_BUCKET}.>`]) {
    const refused = await new Promise<boolean>((resolve) => {
      own.subscribe(subject, { callback: (error) => resolve(error !== null) });
      void own
        .flush()
        .then(() => sleep(200))
        .then(() => resolve(false));
    });
    assert.ok(refused, `it may subscribe to ${subject}`);
  }
  own.publish(`_INBOX_${OTHER}.x`, 'a false answer');
  await own.flush();
  assert.deepEqual(heard, []);
  assert.deepEqual(await state(), before);
});

test("the server is nobody's deputy: an answer does not go where its asker may not publish", options, async (t) => {
  const { started, own: translating, other, orchestrator, state } = await stage(t);
  const own = await plainConnection(t, started.hospitals[0]!.home);
  const bucket = updatesBucket(OWN);
  const spy = { name: 'spy', deliver_subject: `_INBOX_${OWN}.spy`, ack_policy: 'none' };
  // An object of its own whose content is a request: read back, it would be sent to the reply subject.
  const subject = `$O.${bucket}.C.trick`;
  await jetstream(translating).publish(
    subject,
    JSON.stringify({ stream_name: `OBJ_${updatesBucket(OTHER)}`, config: spy }),
  );
  // Its own bucket it may write.
  const ofOthers = async () => (await state()).filter(([name]) => name !== `OBJ_${bucket}`);
  const before = await ofOthers();
  const heard: string[] = [];
  other.subscribe(`_INBOX_${OTHER}.>`, { callback: (_error, message) => void heard.push(message.subject) });
  orchestrator.subscribe('fedrad.>', { callback: (_error, message) => void heard.push(message.subject) });
  await Promise.all([other.flush(), orchestrator.flush()]);
  const replies = [
    `$JS.API.STREAM.PURGE.OBJ_${updatesBucket(OTHER)}`,
    `$JS.API.STREAM.DELETE.${WORK_STREAM}`,
    `$JS.API.CONSUMER.CREATE.OBJ_${updatesBucket(OTHER)}.spy`,
    workSubject(OTHER, 'run'),
    endSubject(OTHER, 'run'),
    `$KV.${RUNS_BUCKET}.run`,
    `_INBOX_${OTHER}.x`,
    `$O.${updatesBucket(OTHER)}.C.x`,
    `$JS.ACK.${WORK_STREAM}.${OTHER}.1.1.1.1.0`,
  ];
  for (const reply of [...replies, ...replies.map(localSubject)]) {
    own.publish(localSubject(`$JS.API.DIRECT.GET.OBJ_${bucket}.${subject}`), '', { reply });
    own.publish(localSubject(`$JS.API.STREAM.INFO.OBJ_${bucket}`), '', { reply });
    own.publish(subject, 'again', { reply });
    own.publish(talkSubject(OWN, 'run'), '', { reply });
  }
  await own.flush();
  await sleep(500);
  assert.deepEqual(
    heard.filter((subject) => subject !== talkSubject(OWN, 'run')),
    [],
  );
  assert.deepEqual(await ofOthers(), before);
});

test('what a hospital imports is offered, and names its compute or what is for all', () => {
  for (const subject of siloImports(OWN)) {
    assert.ok(
      SERVICES.some((service) => matches(subject, service.subject)),
      subject,
    );
    assert.ok(subject.includes(OWN) || subject.includes(MODELS_BUCKET) || subject.includes(RUNS_BUCKET), subject);
  }
});

async function plainConnection(t: TestContext, home: string): Promise<NatsConnection> {
  const folder = membershipFolder(home);
  const { jwt, url, ca } = JSON.parse(await readFile(join(folder, 'membership.json'), 'utf8'));
  const seed = await readFile(join(folder, 'user.nk'));
  const connection = await connectMessaging({
    ...{ url, ca, credentials: { jwt, seed }, name: 'plain', inboxPrefix: inboxPrefix(OWN) },
  });
  t.after(() => connection.close());
  return connection;
}

function matches(subject: string, pattern: string): boolean {
  const [tokens, wanted] = [subject.split('.'), pattern.split('.')];
  return (
    wanted.every((each, i) => (each === '>' ? tokens.length > i : each === '*' || each === tokens[i])) &&
    (wanted.at(-1) === '>' || wanted.length === tokens.length)
  );
}
