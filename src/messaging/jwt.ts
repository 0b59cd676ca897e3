/**
 * @file The JWTs by which nats-server knows who may do what (decentralised: it holds no secret of ours). The operator vouches for the
 * account, the account for its users; a user's JWT carries its permissions.
 */
import { type Account, encodeAccount, encodeOperator, encodeUser } from '@nats-io/jwt';
import type { KeyPair } from '@nats-io/nkeys';
import type { Permissions } from './permissions.ts';

const UNLIMITED = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: 0 };
/** Nothing is stored in memory; how much on disk, the server's own configuration says. */
const JETSTREAM = { mem_storage: 0, disk_storage: -1, streams: -1, consumer: -1 };
/** A hospital needs few subscriptions: its inbox, and those that the client makes for itself. */
const SILO_SUBSCRIPTIONS = 256;

export const operatorJwt = (operator: KeyPair, systemAccount: string): Promise<string> =>
  encodeOperator('fedrad', operator, { system_account: systemAccount });

export const systemAccountJwt = (system: KeyPair, operator: KeyPair): Promise<string> =>
  encodeAccount('SYS', system, { limits: UNLIMITED }, { signer: operator });

/**
 * The account of a federation.
 *
 * @param revoked users that may not connect any more, by public key: those whose JWT is not younger than this time, in seconds
 */
export function accountJwt(
  name: string,
  account: KeyPair,
  operator: KeyPair,
  revoked: Readonly<Record<string, number>>,
): Promise<string> {
  const claims: Partial<Account> = { limits: { ...UNLIMITED, ...JETSTREAM }, revocations: { ...revoked } };
  return encodeAccount(name, account, claims, { signer: operator });
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
      ...{ subs: permissions ? SILO_SUBSCRIPTIONS : -1, data: -1, payload: -1, bearer_token: false },
      allowed_connection_types: ['STANDARD', 'WEBSOCKET'],
      ...(permissions && { pub: { allow: [...permissions.publish] }, sub: { allow: [...permissions.subscribe] } }),
    },
    expiresAt === undefined ? {} : { exp: Math.floor(expiresAt.getTime() / 1000) },
  );
}
