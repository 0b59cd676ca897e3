/**
 * @file The JWTs by which nats-server knows who may do what (decentralised: it holds no secret of ours). The operator vouches for the
 * accounts, an account for its users; a user's JWT carries its permissions, an account's its revocations.
 */
import { decode, encodeAccount, encodeOperator, encodeUser } from '@nats-io/jwt';
import type { KeyPair } from '@nats-io/nkeys';
import { localSubject, type Permissions, SERVICES } from './permissions.ts';

const LIMITS = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: 0 };
/** Nothing is stored in memory; how much on disk, the server's own configuration says. */
const JETSTREAM = { mem_storage: 0, disk_storage: -1, streams: -1, consumer: -1 };
/** A hospital has an agent, and commands that look; an invitation is used by one. */
const GUEST_LIMITS = { ...LIMITS, conn: 64, exports: 0 };
/** A hospital needs few subscriptions: its inboxes. */
const GUEST_SUBSCRIPTIONS = 256;

export const operatorJwt = (operator: KeyPair, systemAccount: string): Promise<string> =>
  encodeOperator('fedrad', operator, { system_account: systemAccount });

export const systemAccountJwt = (system: KeyPair, operator: KeyPair): Promise<string> =>
  encodeAccount('SYS', system, { limits: LIMITS }, { signer: operator });

/** The account that holds the streams. Only the operator makes accounts, so that whoever imports is known. */
export function federationAccountJwt(name: string, account: KeyPair, operator: KeyPair): Promise<string> {
  const exports = SERVICES.map(({ name, subject, streams }) => ({
    ...{ name, subject, type: 'service' as const },
    response_type: streams ? ('Stream' as const) : ('Singleton' as const),
  }));
  return encodeAccount(name, account, { limits: { ...LIMITS, ...JETSTREAM }, exports }, { signer: operator });
}

export interface GuestAccount {
  readonly name: string;
  readonly account: KeyPair;
  /** Services of the federation's account that it may use, and the public key of that account. */
  readonly imports: readonly string[];
  readonly federation: string;
  /** Users that may not connect any more, by public key: those whose JWT is not younger than this time, in seconds. */
  readonly revoked: Readonly<Record<string, number>>;
}

/** An account without streams that only uses some services of the federation's. */
export function guestAccountJwt({ name, account, imports, federation, revoked }: GuestAccount, operator: KeyPair) {
  return encodeAccount(
    name,
    account,
    {
      limits: GUEST_LIMITS,
      imports: imports.map((subject) => ({
        ...{ name: subject, subject, account: federation, type: 'service' as const },
        local_subject: localSubject(subject),
      })),
      revocations: { ...revoked },
    },
    { signer: operator },
  );
}

/** A user with these permissions, or with all of its account. */
export function userJwt(
  name: string,
  user: string,
  account: KeyPair,
  options: { readonly permissions?: Permissions; readonly expiresAt?: Date } = {},
): Promise<string> {
  const { permissions, expiresAt } = options;
  return encodeUser(
    name,
    user,
    account,
    {
      ...{ subs: permissions ? GUEST_SUBSCRIPTIONS : -1, data: -1, payload: -1, bearer_token: false },
      allowed_connection_types: ['STANDARD', 'WEBSOCKET'],
      ...(permissions && { pub: { allow: [...permissions.publish] }, sub: { allow: [...permissions.subscribe] } }),
    },
    expiresAt === undefined ? {} : { exp: Math.floor(expiresAt.getTime() / 1000) },
  );
}

/** When a JWT was made, in seconds. */
export const issuedAt = (jwt: string): number => decode(jwt).iat;
