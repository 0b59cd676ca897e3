/**
 * @file The orchestrator's side of a federation: its keys, its own connection, and the hospitals, from the invitation to the revocation.
 * nats-server is told of a revocation over a connection of the system account; nothing is reloaded.
 */
import { type KeyObject, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createUser, type KeyPair } from '@nats-io/nkeys';
import type { NatsConnection } from '@nats-io/transport-node';
import { fail, messageOf } from '../base/index.ts';
import {
  federationFolder,
  findCompute,
  hasFederation,
  openWorkspace,
  readStoredJson,
  type Workspace,
  writeFileAtomic,
} from '../workspace/index.ts';
import { accountJwts, readAccounts } from './accounts.ts';
import { connectMessaging } from './connect.ts';
import { type FederationDescription, federationLock, federationPaths, federationSchema } from './federation-files.ts';
import { computeName, invitationLine } from './invitation.ts';
import { answerJoins, type JoinDesk } from './join.ts';
import { issuedAt, userJwt } from './jwt.ts';
import { publicText, readSigningKey, seedText } from './keys.ts';
import { invitationPermissions } from './permissions.ts';
import { serverConfigOf } from './server-files.ts';
import { openSiloFiles, type Silo, type SiloFile, type SiloFiles, siloOf } from './silos.ts';

export interface Invited {
  readonly compute: string;
  /** `fedrad-invite:…`, to be given to `fedrad silo join`. */
  readonly line: string;
  readonly expiresAt: Date;
}

export interface Federation {
  readonly workspaceName: string;
  readonly url: string;
  readonly websocketUrl?: string;
  /** nats-server.conf of this federation. */
  readonly serverConfigFile: string;
  /** As the orchestrator, with all rights in the account that holds the streams. Waits up to `waitMs` (default 30 s). */
  connect(name: string, options?: { readonly waitMs?: number }): Promise<NatsConnection>;
  /** Ed25519, private: what the orchestrator seals. */
  readonly signingKey: KeyObject;
  /** All that were ever invited, by name. */
  silos(): Promise<readonly Silo[]>;
  silo(compute: string): Promise<Silo | undefined>;
  /** Makes an invitation; one that was not used ends by it. Throws FedradError when the hospital has joined. */
  invite(compute: string, options?: { readonly hours?: number }): Promise<Invited>;
  /** A suspended hospital stays connected and gets no work. Nothing happens to one that is not `joined`. */
  suspend(compute: string, reason: string): Promise<void>;
  resume(compute: string): Promise<void>;
  /** Cuts a hospital off at once and for ever; `cut` is false where nats-server could not be reached, and why. */
  revoke(compute: string, reason: string): Promise<{ readonly cut: boolean; readonly problem?: string }>;
  /** Tells nats-server who is revoked, of these computes (default all): what it missed while it was away. */
  publishAccounts(computes?: readonly string[]): Promise<void>;
  /** Answers hospitals that want to join, as long as it is not closed. `onJoined` hears of each new one, `onProblem` of what it could not answer. */
  answerJoins(
    connection: NatsConnection,
    hooks?: Partial<Pick<JoinDesk, 'onJoined' | 'onProblem'>>,
  ): { close(): Promise<void> };
}

const HOUR_MS = 60 * 60 * 1000;
const PUSH_TIMEOUT_MS = 5_000;

/**
 * Opens the federation of a workspace.
 *
 * @throws FedradError when there is none, or its files are damaged
 */
export async function openFederation(
  home: string,
  workspaceName: string,
  now: () => Date = () => new Date(),
): Promise<Federation> {
  const workspace = await openWorkspace(home, { workspaceName });
  if (!(await hasFederation(home, workspaceName))) {
    fail(`workspace "${workspaceName}"`, 'it has no federation', 'fedrad orchestrator init --url tls://<host>:4222');
  }
  const paths = federationPaths(federationFolder(home, workspaceName));
  const description = await readStoredJson(paths.description, federationSchema);
  const silos = [...workspace.computes.values()].filter(({ role }) => role === 'silo').map(({ name }) => name);
  const [accounts, signingKey, ca] = await Promise.all([
    readAccounts(paths.keys.folder, silos),
    readSigningKey(paths.keys.signing),
    authorityOf(description, paths.ca),
  ]);
  const files = openSiloFiles(paths.silos, federationLock(home, workspaceName));

  const connectAs = async (signer: KeyPair, name: string, waitMs?: number): Promise<NatsConnection> => {
    const user = createUser();
    return connectMessaging({
      url: description.ownUrl ?? description.url,
      ...(ca === undefined ? {} : { ca }),
      credentials: { jwt: await userJwt(name, user.getPublicKey(), signer), seed: user.getSeed() },
      name,
      ...(waitMs === undefined ? {} : { waitMs }),
    });
  };

  const publishAccounts = async (computes: readonly string[] = silos): Promise<void> => {
    const jwts = await accountJwts(workspaceName, accounts, await files.list());
    // For a server that starts anew.
    await writeFileAtomic(paths.serverConfig, serverConfigOf(description, paths, workspaceName, jwts));
    const connection = await connectAs(accounts.system, 'fedrad accounts', PUSH_TIMEOUT_MS);
    try {
      for (const compute of computes) {
        const jwt = jwts[accounts.silos.get(compute)!.getPublicKey()]!;
        const reply = await connection.request('$SYS.REQ.CLAIMS.UPDATE', jwt, { timeout: PUSH_TIMEOUT_MS });
        const { error } = reply.json<{ error?: { description?: string } }>();
        if (error) fail('nats-server', `it refuses the account of ${compute}: ${error.description}`, 'look at its log');
      }
    } finally {
      await connection.close();
    }
  };

  return {
    ...{ workspaceName, url: description.url, signingKey, serverConfigFile: paths.serverConfig, publishAccounts },
    ...(description.websocketUrl === undefined ? {} : { websocketUrl: description.websocketUrl }),
    connect: (name, { waitMs } = {}) => connectAs(accounts.federation, name, waitMs),
    silos: async () => (await files.list()).map(siloOf),
    silo: async (compute) => {
      const file = await files.read(compute);
      return file && siloOf(file);
    },
    invite: (compute, { hours = 48 } = {}) =>
      invite({ workspace, description, ca, files, account: accounts.invitations, signingKey, now }, compute, hours),
    suspend: (compute, reason) => suspend(files, compute, reason),
    resume: (compute) => resume(files, compute),
    revoke: async (compute, reason) => {
      await revoke(files, compute, reason, now());
      try {
        await publishAccounts([compute]);
        return { cut: true };
      } catch (error) {
        return { cut: false, problem: messageOf(error) };
      }
    },
    answerJoins: (connection, { onJoined = () => {}, onProblem = () => {} } = {}) =>
      answerJoins(connection, { files, accounts: accounts.silos, signingKey, now, onJoined, onProblem }),
  };
}

/** What hospitals have to trust, or undefined for the authorities of their system. */
async function authorityOf({ certificate }: FederationDescription, own: string): Promise<string | undefined> {
  const file = certificate.from === 'fedrad' ? own : certificate.ca;
  return file === undefined ? undefined : readFile(file, 'utf8');
}

interface InvitingDesk {
  readonly workspace: Workspace;
  readonly description: FederationDescription;
  readonly ca: string | undefined;
  readonly files: SiloFiles;
  /** Of invitations. */
  readonly account: KeyPair;
  readonly signingKey: KeyObject;
  readonly now: () => Date;
}

async function invite(desk: InvitingDesk, compute: string, hours: number): Promise<Invited> {
  const { workspace, description, ca, files, account, signingKey, now } = desk;
  const { role, datastores } = findCompute(workspace, compute, 'fedrad silo invite');
  if (role !== 'silo' || !computeName.safeParse(compute).success) {
    fail(`compute "${compute}"`, 'expected the compute of a hospital', 'fedrad workspace show');
  }
  const shared = new Set([...workspace.computes.values()].find((each) => each.role === 'orchestrator')!.datastores);
  const id = randomBytes(16).toString('hex');
  const user = createUser();
  const expiresAt = new Date(now().getTime() + hours * HOUR_MS);
  const jwt = await userJwt(`invitation of ${compute}`, user.getPublicKey(), account, {
    permissions: invitationPermissions(id),
    expiresAt,
  });
  await files.update(compute, (before) => {
    if (before?.state === 'joined' || before?.state === 'suspended') {
      fail(`compute "${compute}"`, `it is ${before.state} already`, `to replace it: fedrad silo revoke ${compute}`);
    }
    const invitation = { id, expiresAt: expiresAt.toISOString() };
    return { compute, state: 'invited', invitation, revoked: before?.revoked ?? [] };
  });
  const { url, websocketUrl } = description;
  const line = invitationLine({
    ...{ version: 1, id, url, compute, jwt, workspaceName: workspace.description.workspaceName },
    ...(websocketUrl === undefined ? {} : { websocketUrl }),
    ...(ca === undefined ? {} : { ca }),
    datastores: datastores.filter((name) => !shared.has(name)),
    orchestratorKey: publicText(signingKey),
    expiresAt: expiresAt.toISOString(),
    seed: seedText(user),
  });
  return { compute, line, expiresAt };
}

async function suspend(files: SiloFiles, compute: string, reason: string): Promise<void> {
  await files.update(compute, (before) => {
    if (before?.state !== 'joined') return known(before, compute);
    return { ...before, state: 'suspended', reason };
  });
}

async function resume(files: SiloFiles, compute: string): Promise<void> {
  await files.update(compute, (before) => {
    const { reason: _, ...file } = known(before, compute);
    if (file.state === 'joined' || file.state === 'suspended') return { ...file, state: 'joined' };
    return fail(`compute "${compute}"`, `it is ${file.state}, not suspended`, `fedrad silo invite ${compute}`);
  });
}

async function revoke(files: SiloFiles, compute: string, reason: string, now: Date): Promise<void> {
  await files.update(compute, (before) => {
    const { invitation: _, ...file } = known(before, compute);
    // A clock that was ahead when it joined must not make its JWT outlive this.
    const at = Math.max(Math.floor(now.getTime() / 1000), file.member === undefined ? 0 : issuedAt(file.member.jwt));
    const cut = file.member === undefined || file.state === 'revoked' ? [] : [{ userKey: file.member.userKey, at }];
    return { ...file, state: 'revoked', reason, revoked: [...file.revoked, ...cut] };
  });
}

const known = (file: SiloFile | undefined, compute: string): SiloFile =>
  file ?? fail(`compute "${compute}"`, 'it was never invited', `fedrad silo invite ${compute}`);
