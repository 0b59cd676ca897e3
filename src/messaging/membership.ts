/**
 * @file The hospital's side of a federation: joining with an invitation, and what it keeps. Its private keys are made here, lie in
 * `<home>/membership` (0700, files 0600), and go nowhere: not into messages, not into a step's sandbox.
 */
import type { KeyObject } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createUser, type KeyPair } from '@nats-io/nkeys';
import { type NatsConnection, RequestError, TimeoutError } from '@nats-io/transport-node';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import {
  codeOf,
  flushFolder,
  homePaths,
  makePrivateFolder,
  prepareHome,
  readStoredJson,
  toStoredJson,
  waitForLock,
  writeFileAtomic,
  writeNewFile,
} from '../workspace/index.ts';
import { connectMessaging } from './connect.ts';
import { computeName, type Invitation, readInvitation } from './invitation.ts';
import { type JoinAnswer, joinAnswerSchema, joinRequest } from './join-messages.ts';
import { fingerprint, newSigningKey, publicFromText, readNKey, readSigningKey, seedText, toPem } from './keys.ts';
import { invitationInbox, localSubject } from './permissions.ts';
import { unseal } from './seal.ts';
import { inboxPrefix, joinSubject } from './subjects.ts';

/** What a hospital is in a federation. */
export interface Membership {
  readonly workspaceName: string;
  readonly compute: string;
  /** Those that lie here. */
  readonly datastores: readonly string[];
  readonly fingerprint: string;
  /** With this hospital's permissions. Waits up to `waitMs` (default 30 s). */
  connect(name: string, options?: { readonly waitMs?: number }): Promise<NatsConnection>;
  /** Ed25519, private: what this hospital seals. */
  readonly signingKey: KeyObject;
  /** Ed25519, public: what the orchestrator seals. */
  readonly orchestratorKey: KeyObject;
  readonly folder: string;
}

const membershipSchema = z.strictObject({
  version: z.literal(1),
  workspaceName: z.string(),
  compute: computeName,
  datastores: z.array(z.string()),
  url: z.string(),
  websocketUrl: z.string().exactOptional(),
  /** An HTTP proxy that was named when it joined; without it that of the environment. */
  proxy: z.string().exactOptional(),
  ca: z.string().exactOptional(),
  orchestratorKey: z.string(),
  invitation: z.string(),
  jwt: z.string(),
  fingerprint: z.string(),
});

type MembershipFile = Readonly<z.infer<typeof membershipSchema>>;

const membershipPaths = (folder: string) => ({
  folder,
  description: join(folder, 'membership.json'),
  /** Of an invitation whose answer has not come yet. */
  pending: join(folder, 'invitation'),
  user: join(folder, 'user.nk'),
  signing: join(folder, 'signing.pem'),
});

/** Holds all that a hospital must keep to itself. */
export const membershipFolder = (home: string): string => join(home, 'membership');

/** Whether this home has joined a federation. */
export const hasMembership = (home: string): Promise<boolean> =>
  exists(membershipPaths(membershipFolder(home)).description);

/**
 * Opens what this home is in a federation.
 *
 * @throws FedradError when it has not joined one
 */
export async function openMembership(home: string): Promise<Membership> {
  const paths = membershipPaths(membershipFolder(home));
  if (!(await hasMembership(home))) {
    fail(`home ${home}`, 'it has not joined a federation', 'fedrad silo join <the line that the orchestrator sent>');
  }
  const file = await readStoredJson(paths.description, membershipSchema);
  const [user, signingKey] = await Promise.all([readNKey(paths.user, 'U'), readSigningKey(paths.signing)]);
  const { workspaceName, compute, datastores, jwt } = file;
  return {
    ...{ workspaceName, compute, datastores, signingKey, folder: paths.folder, fingerprint: file.fingerprint },
    orchestratorKey: publicFromText(file.orchestratorKey, paths.description),
    connect: (name, { waitMs } = {}) =>
      connectMessaging({
        ...dialing(file, file.proxy),
        credentials: { jwt, seed: user.getSeed() },
        ...{ name, inboxPrefix: inboxPrefix(compute), translate: localSubject },
        ...(waitMs === undefined ? {} : { waitMs }),
      }),
  };
}

export interface JoinOptions {
  /** `http://proxy:3128`, for the WebSocket; by default HTTPS_PROXY and NO_PROXY of the environment. Kept for later. */
  readonly proxy?: string;
  /** How long to wait for the orchestrator's answer, in ms (default 60 s). */
  readonly waitMs?: number;
  readonly now?: () => Date;
  /** Hears what it is waiting for. */
  readonly onWaiting?: (reason: string) => void;
}

/**
 * Joins a federation: makes keys, sends their public parts, keeps what comes back. Safe to repeat with the same line, and with another proxy.
 *
 * @throws FedradError when the invitation is not good, nobody answers in time, or this home is another hospital already
 */
export async function joinFederation(home: string, line: string, options: JoinOptions = {}): Promise<Membership> {
  const { now = () => new Date() } = options;
  const invitation = readInvitation(line);
  await prepareHome(home);
  using _lock = await waitForLock(join(homePaths(home).locks, 'membership'), 'fedrad silo join');
  if (await hasMembership(home)) {
    const { description } = membershipPaths(membershipFolder(home));
    const existing = await readStoredJson(description, membershipSchema);
    if (existing.invitation === invitation.id) {
      const { proxy } = options;
      if (proxy !== undefined)
        await writeFileAtomic(description, toStoredJson({ ...existing, proxy } satisfies MembershipFile));
      return await openMembership(home);
    }
    checkSameHospital(existing, invitation);
  }
  if (now().getTime() > Date.parse(invitation.expiresAt)) {
    fail(
      'invitation',
      `it expired at ${invitation.expiresAt}`,
      `ask for a new one: fedrad silo invite ${invitation.compute}`,
    );
  }
  const paths = membershipPaths(`${membershipFolder(home)}-joining`);
  const keys = await keysFor(invitation, paths);
  const answer = await ask(invitation, keys, options);
  if (answer.kind === 'refused') return fail(`invitation of ${invitation.compute}`, answer.problem, answer.remedy);
  const own = fingerprint({
    ...{ compute: invitation.compute, userKey: keys.user.getPublicKey(), signingKey: keys.signingKey },
    orchestratorKey: publicFromText(invitation.orchestratorKey, 'invitation'),
  });
  if (answer.fingerprint !== own || answer.userKey !== keys.user.getPublicKey()) {
    fail('answer of the orchestrator', 'it is about other keys', 'ask for a new invitation');
  }
  const { version, workspaceName, compute, datastores, url, websocketUrl, ca, orchestratorKey } = invitation;
  await writeFileAtomic(
    paths.description,
    toStoredJson({
      ...{ version, workspaceName, compute, datastores, url, orchestratorKey, invitation: invitation.id },
      ...(websocketUrl === undefined ? {} : { websocketUrl }),
      ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
      ...(ca === undefined ? {} : { ca }),
      ...{ jwt: answer.jwt, fingerprint: own },
    } satisfies MembershipFile),
  );
  await rm(membershipFolder(home), { recursive: true, force: true });
  await rename(paths.folder, membershipFolder(home));
  await flushFolder(home);
  return await openMembership(home);
}

function checkSameHospital(existing: MembershipFile, invitation: Invitation): void {
  const same = (['workspaceName', 'compute', 'orchestratorKey'] as const).every(
    (key) => existing[key] === invitation[key],
  );
  if (same) return;
  fail(
    'this home',
    `it is ${existing.compute} of ${existing.workspaceName}; the invitation is for ${invitation.compute} of ${invitation.workspaceName}`,
    'one home is one hospital: choose another with --home',
  );
}

interface Keys {
  readonly user: KeyPair;
  readonly signingKey: KeyObject;
}

/** The keys for an invitation: those of an earlier try with it, or new ones. On the disk before anybody hears of them. */
async function keysFor(invitation: Invitation, paths: ReturnType<typeof membershipPaths>): Promise<Keys> {
  if (!(await exists(paths.pending)) || (await readPending(paths.pending)) !== invitation.id) {
    await rm(paths.folder, { recursive: true, force: true });
    await makePrivateFolder(paths.folder);
    await writeNewFile(paths.user, seedText(createUser()));
    await writeNewFile(paths.signing, toPem(newSigningKey()));
    await writeFileAtomic(paths.pending, toStoredJson(invitation.id));
  }
  return { user: await readNKey(paths.user, 'U'), signingKey: await readSigningKey(paths.signing) };
}

const readPending = (path: string): Promise<string> => readStoredJson(path, z.string());

const ASK_TIMEOUT_MS = 5_000;
const ASK_AGAIN_MS = 1_000;

/** Asks until the orchestrator answers, or the time is over. */
async function ask(invitation: Invitation, { user, signingKey }: Keys, options: JoinOptions): Promise<JoinAnswer> {
  const { waitMs = 60_000, onWaiting = () => {}, proxy } = options;
  const deadline = performance.now() + waitMs;
  const { id, compute } = invitation;
  const connection = await connectMessaging({
    ...dialing(invitation, proxy),
    credentials: { jwt: invitation.jwt, seed: Buffer.from(invitation.seed) },
    ...{ name: `${compute} joins`, inboxPrefix: invitationInbox(id), waitMs },
  });
  try {
    const orchestratorKey = publicFromText(invitation.orchestratorKey, 'invitation');
    const request = joinRequest(id, compute, user, signingKey);
    for (let told = false; ; ) {
      const left = Math.max(1, deadline - performance.now());
      const reply = await connection
        .request(joinSubject(id), request, { timeout: Math.min(ASK_TIMEOUT_MS, left) })
        .catch((error: unknown) => {
          if (error instanceof TimeoutError || error instanceof RequestError) return undefined;
          throw error;
        });
      if (reply) {
        const answer = unseal(reply.data, joinAnswerSchema, orchestratorKey, 'the orchestrator');
        if (answer.invitation === id) return answer;
      }
      if (performance.now() + ASK_AGAIN_MS > deadline) break;
      if (!told) onWaiting('the orchestrator does not answer yet');
      told = true;
      await sleep(ASK_AGAIN_MS);
    }
  } finally {
    await connection.close();
  }
  return fail(
    `invitation of ${compute}`,
    `nats-server is there, but the orchestrator did not answer for ${waitMs / 1000} s`,
    'it answers while this runs there: fedrad orchestrator start. Then run the same command again',
  );
}

/** How to reach the server. A proxy that was named counts in the place of those of the environment. */
const dialing = ({ url, websocketUrl, ca }: Pick<MembershipFile, 'url' | 'websocketUrl' | 'ca'>, proxy?: string) => ({
  url,
  ...(websocketUrl === undefined ? {} : { websocketUrl }),
  ...(ca === undefined ? {} : { ca }),
  ...(proxy === undefined ? {} : { environment: { HTTPS_PROXY: proxy } }),
});

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
