/**
 * @file The accounts of a federation on nats-server: that of the system, that which holds the streams, one for invitations and one for each
 * hospital. Their keys are made with the federation; their JWTs follow from the keys and from who was revoked.
 */
import { join } from 'node:path';
import { createAccount, createOperator, type KeyPair } from '@nats-io/nkeys';
import { writeNewFile } from '../workspace/index.ts';
import { federationAccountJwt, guestAccountJwt, systemAccountJwt } from './jwt.ts';
import { readNKey, seedText } from './keys.ts';
import { JOIN_IMPORTS, siloImports } from './permissions.ts';
import { revocations, type SiloFile } from './silos.ts';

export interface Accounts {
  readonly operator: KeyPair;
  readonly system: KeyPair;
  readonly federation: KeyPair;
  readonly invitations: KeyPair;
  /** By compute. */
  readonly silos: ReadonlyMap<string, KeyPair>;
}

export const newAccounts = (computes: readonly string[]): Accounts => ({
  operator: createOperator(),
  system: createAccount(),
  federation: createAccount(),
  invitations: createAccount(),
  silos: new Map(computes.map((compute) => [compute, createAccount()])),
});

const files = (folder: string) => ({
  operator: join(folder, 'operator.nk'),
  system: join(folder, 'system.nk'),
  federation: join(folder, 'federation.nk'),
  invitations: join(folder, 'invitations.nk'),
  silo: (compute: string): string => join(folder, `silo-${compute}.nk`),
});

/** Writes the seeds into a folder of keys. */
export async function writeAccounts(folder: string, accounts: Accounts): Promise<void> {
  const paths = files(folder);
  for (const name of ['operator', 'system', 'federation', 'invitations'] as const) {
    await writeNewFile(paths[name], seedText(accounts[name]));
  }
  for (const [compute, account] of accounts.silos) await writeNewFile(paths.silo(compute), seedText(account));
}

/** Reads them again. */
export async function readAccounts(folder: string, computes: readonly string[]): Promise<Accounts> {
  const paths = files(folder);
  const silos = computes.map(async (compute) => [compute, await readNKey(paths.silo(compute), 'A')] as const);
  return {
    operator: await readNKey(paths.operator, 'O'),
    system: await readNKey(paths.system, 'A'),
    federation: await readNKey(paths.federation, 'A'),
    invitations: await readNKey(paths.invitations, 'A'),
    silos: new Map(await Promise.all(silos)),
  };
}

/** The JWTs of all accounts, by public key. */
export async function accountJwts(
  workspaceName: string,
  { operator, system, federation, invitations, silos }: Accounts,
  siloFiles: readonly SiloFile[],
): Promise<Readonly<Record<string, string>>> {
  const guest = (name: string, account: KeyPair, imports: readonly string[], revoked: Record<string, number>) =>
    guestAccountJwt({ name, account, imports, federation: federation.getPublicKey(), revoked }, operator);
  const jwts: Record<string, string> = {
    [system.getPublicKey()]: await systemAccountJwt(system, operator),
    [federation.getPublicKey()]: await federationAccountJwt(workspaceName, federation, operator),
    [invitations.getPublicKey()]: await guest('invitations', invitations, JOIN_IMPORTS, {}),
  };
  for (const [compute, account] of silos) {
    const revoked = revocations(siloFiles.filter((file) => file.compute === compute));
    jwts[account.getPublicKey()] = await guest(compute, account, siloImports(compute), revoked);
  }
  return jwts;
}
