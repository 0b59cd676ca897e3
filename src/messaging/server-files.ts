/** @file The configuration of nats-server that belongs to the files of a federation. */
import type { KeyPair } from '@nats-io/nkeys';
import type { FederationDescription, federationPaths } from './federation-files.ts';
import { systemAccountJwt } from './jwt.ts';
import { serverConfig } from './server-config.ts';

interface Accounts {
  /** JWT of the federation's account. */
  readonly account: string;
  readonly system: KeyPair;
  readonly operator: KeyPair;
}

/** The text of nats-server.conf. */
export async function serverConfigOf(
  description: FederationDescription,
  paths: ReturnType<typeof federationPaths>,
  workspaceName: string,
  { account, system, operator }: Accounts,
): Promise<string> {
  const { host, port, websocketPort, monitorPort, storeFolder, maxStoreBytes, canSync, certificate } = description;
  return serverConfig({
    ...{ workspaceName, host, port, storeFolder, maxStoreBytes, canSync },
    ...(websocketPort === undefined ? {} : { websocketPort }),
    ...(monitorPort === undefined ? {} : { monitorPort }),
    certificateFile: certificate.from === 'files' ? certificate.cert : paths.serverCertificate,
    keyFile: certificate.from === 'files' ? certificate.key : paths.keys.server,
    operatorFile: paths.operatorJwt,
    resolverFolder: paths.resolver,
    systemAccount: description.systemAccount,
    accounts: { [description.account]: account, [description.systemAccount]: await systemAccountJwt(system, operator) },
  });
}
