/** @file The configuration of nats-server that belongs to the files of a federation. */
import type { FederationDescription, federationPaths } from './federation-files.ts';
import { serverConfig } from './server-config.ts';

/** The text of nats-server.conf, with the JWTs of all accounts. */
export function serverConfigOf(
  description: FederationDescription,
  paths: ReturnType<typeof federationPaths>,
  workspaceName: string,
  accounts: Readonly<Record<string, string>>,
): string {
  const { host, port, websocketPort, monitorPort, storeFolder, maxStoreBytes, canSync, certificate } = description;
  return serverConfig({
    ...{ workspaceName, host, port, storeFolder, maxStoreBytes, canSync, accounts },
    ...(websocketPort === undefined ? {} : { websocketPort }),
    ...(monitorPort === undefined ? {} : { monitorPort }),
    certificateFile: certificate.from === 'files' ? certificate.cert : paths.serverCertificate,
    keyFile: certificate.from === 'files' ? certificate.key : paths.keys.server,
    operatorFile: paths.operatorJwt,
    resolverFolder: paths.resolver,
    systemAccount: description.systemAccount,
  });
}
