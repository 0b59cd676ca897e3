/**
 * @file The orchestrator's side of joining: answers requests as long as it runs. An invitation is used up by the first keys that come with
 * it; the same keys again get the same answer, for the answer may have been lost.
 */
import type { KeyObject } from 'node:crypto';
import type { KeyPair } from '@nats-io/nkeys';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { FedradError, fail, messageOf } from '../base/index.ts';
import { type JoinAnswer, type JoinRequest, readJoinRequest } from './join-messages.ts';
import { userJwt } from './jwt.ts';
import { fingerprint, publicFromText } from './keys.ts';
import { siloPermissions } from './permissions.ts';
import { seal } from './seal.ts';
import { type Silo, type SiloFile, type SiloFiles, siloOf } from './silos.ts';
import { joinSubject } from './subjects.ts';

export interface JoinDesk {
  readonly files: SiloFiles;
  /** Of the hospitals, by compute. */
  readonly accounts: ReadonlyMap<string, KeyPair>;
  readonly signingKey: KeyObject;
  readonly now: () => Date;
  /** After a hospital has joined for the first time with an invitation. */
  readonly onJoined: (silo: Silo) => void;
  /** A request that could not be answered, through no fault of whoever sent it: a full disk, a defect. */
  readonly onProblem: (text: string) => void;
}

/** Answers until it is closed; closing waits for the request in hand. */
export function answerJoins(connection: NatsConnection, desk: JoinDesk): { close(): Promise<void> } {
  const subscription = connection.subscribe(joinSubject('*'));
  const answered = (async () => {
    for await (const message of subscription) await answer(message, desk);
  })();
  return {
    close: async () => {
      if (!connection.isClosed()) await subscription.drain();
      await answered;
    },
  };
}

async function answer(message: Msg, desk: JoinDesk): Promise<void> {
  const invitation = message.subject.slice(joinSubject('').length);
  const reply = await decide(message.data, invitation, desk).catch((error: unknown): JoinAnswer => {
    if (error instanceof FedradError) {
      const { problem, remedy = 'ask for a new invitation' } = error;
      return { kind: 'refused', invitation, problem, remedy };
    }
    // Whatever a request does, the next one is answered.
    desk.onProblem(`a request to join with invitation ${invitation}: ${messageOf(error)}`);
    const problem = 'the orchestrator could not answer; its log says why';
    return { kind: 'refused', invitation, problem, remedy: 'once that is mended: fedrad silo join <the same line>' };
  });
  message.respond(seal(reply, desk.signingKey));
}

async function decide(bytes: Uint8Array, invitation: string, desk: JoinDesk): Promise<JoinAnswer> {
  const request = readJoinRequest(bytes);
  if (request.invitation !== invitation) fail('request to join', 'it is for another invitation');
  let first = false;
  const file = await desk.files.update(request.compute, async (before) => {
    if (isMember(before, request)) return before!;
    checkInvitation(before, request, desk.now());
    first = true;
    return { ...before!, state: 'joined', member: await newMember(request, desk) };
  });
  if (first) desk.onJoined(siloOf(file));
  const { userKey, jwt, fingerprint } = file.member!;
  return { kind: 'joined', invitation, userKey, jwt, fingerprint };
}

/** Whether these keys joined with this invitation before, and may still be there. */
const isMember = (file: SiloFile | undefined, { invitation, userKey, signingKey }: JoinRequest): boolean =>
  (file?.state === 'joined' || file?.state === 'suspended') &&
  file.member?.invitation === invitation &&
  file.member.userKey === userKey &&
  file.member.signingKey === signingKey;

function checkInvitation(file: SiloFile | undefined, { invitation, compute }: JoinRequest, now: Date): void {
  const where = `invitation of ${compute}`;
  const remedy = `ask the orchestrator for a new one: fedrad silo invite ${compute}`;
  if (file?.member?.invitation === invitation) {
    fail(where, file.state === 'revoked' ? 'it was revoked' : 'it was used already, with other keys', remedy);
  }
  if (file?.state !== 'invited' || file.invitation?.id !== invitation) fail(where, 'it is not valid any more', remedy);
  const { expiresAt } = file!.invitation!;
  if (now.getTime() > Date.parse(expiresAt)) fail(where, `it expired at ${expiresAt}`, remedy);
}

async function newMember(request: JoinRequest, { accounts, signingKey: orchestratorKey, now }: JoinDesk) {
  const { compute, invitation, userKey, signingKey } = request;
  return {
    ...{ invitation, userKey, signingKey },
    fingerprint: fingerprint({
      ...{ compute, userKey, orchestratorKey },
      signingKey: publicFromText(signingKey, 'request to join'),
    }),
    jwt: await userJwt(compute, userKey, accounts.get(compute)!, { permissions: siloPermissions(compute) }),
    joinedAt: now().toISOString(),
  };
}
