/**
 * @file Makes the federation of a workspace: keys, certificates, the configuration of nats-server. Whole or not at all, like provisioning;
 * a second time it changes nothing that exists, and refuses what contradicts it.
 */
import { existsSync } from 'node:fs';
import { access, constants, readFile, rename, rm, statfs } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { fail } from '../base/index.ts';
import {
  besidePath,
  federationFolder,
  flushFolder,
  hasFederation,
  makePrivateFolder,
  openWorkspace,
  readStoredJson,
  toStoredJson,
  type WorkspaceName,
  waitForLock,
  writeNewFile,
} from '../workspace/index.ts';
import { accountJwts, newAccounts, writeAccounts } from './accounts.ts';
import { type FederationDescription, federationLock, federationPaths, federationSchema } from './federation-files.ts';
import { operatorJwt } from './jwt.ts';
import { newSigningKey, toPem } from './keys.ts';
import { serverConfigOf } from './server-files.ts';

/** What is left out has the default that is named, or the value of the federation that exists. */
export interface FederationOptions {
  /** What hospitals dial: `tls://host:4222`. */
  readonly url: string;
  /** What hospitals behind an HTTP proxy dial: `wss://host:8443`. Default: no WebSocket. */
  readonly websocketUrl?: string;
  /** What the orchestrator itself dials (default `url`). */
  readonly ownUrl?: string;
  /** Address that nats-server listens on (default `0.0.0.0`), and its ports (default: those of the URLs). */
  readonly host?: string;
  readonly port?: number;
  readonly websocketPort?: number;
  /** Of nats-server's monitoring, on 127.0.0.1 (default: none). */
  readonly monitorPort?: number;
  /** Where JetStream keeps its files (default: in the federation's folder). */
  readonly storeFolder?: string;
  /** How much it may keep (default: 80 % of what is free, at most 64 GB); 2 GB at least. */
  readonly maxStoreBytes?: number;
  /** Further names and addresses in the server's certificate; localhost, 127.0.0.1 and ::1 always are. */
  readonly san?: readonly string[];
  /** PEM files of a certificate of the user's own and of its authority; nats-server reads the first two where they lie. */
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
  /** nats-server is 2.10 or newer. */
  readonly canSync?: boolean;
}

export interface MadeFederation {
  /** False when it existed; nothing was changed then. */
  readonly created: boolean;
  readonly workspaceName: string;
  readonly folder: string;
  readonly serverConfigFile: string;
  readonly url: string;
  readonly websocketUrl?: string;
}

const MAX_STORE_BYTES = 64e9;
/** The queues of work and ends have 1.3 GB of it for themselves. */
const MIN_STORE_BYTES = 2e9;
const LOCAL_HOSTS = ['localhost', '127.0.0.1', '::1'];

/**
 * Makes the federation of a provisioned workspace.
 *
 * @throws FedradError when an option makes no sense, or contradicts the federation that exists
 */
export async function makeFederation(
  home: string,
  name: WorkspaceName,
  options: FederationOptions,
  now = new Date(),
): Promise<MadeFederation> {
  const { workspaceName, computes } = (await openWorkspace(home, name)).description;
  const folder = federationFolder(home, workspaceName);
  using _lock = await waitForLock(federationLock(home, workspaceName), 'fedrad orchestrator init');
  const asked = describe(options);
  const made = (created: boolean, { url, websocketUrl }: FederationDescription): MadeFederation => ({
    ...{ created, workspaceName, folder, url, serverConfigFile: federationPaths(folder).serverConfig },
    ...(websocketUrl === undefined ? {} : { websocketUrl }),
  });
  if (await hasFederation(home, workspaceName)) {
    const existing = await readStoredJson(federationPaths(folder).description, federationSchema);
    checkSame(workspaceName, existing, asked);
    return made(false, existing);
  }
  const hosts = [...new Set([hostOf(asked.url!), ...(asked.websocketUrl ? [hostOf(asked.websocketUrl)] : [])])];
  const silos = computes.filter(({ role }) => role === 'silo').map(({ name }) => name);
  return made(true, await make(folder, workspaceName, asked, { hosts, silos, now, canSync: options.canSync ?? false }));
}

/** The part of a description that options decide; throws where they make no sense. */
function describe(options: FederationOptions): Partial<FederationDescription> {
  const { url, websocketUrl, ownUrl, host, storeFolder, maxStoreBytes, san, cert, key, ca, monitorPort } = options;
  const { port } = checkedUrl('--url', url, 'tls:', 4222);
  const websocket = websocketUrl === undefined ? undefined : checkedUrl('--websocket_url', websocketUrl, 'wss:', 443);
  if (ownUrl !== undefined) checkedUrl('--orchestrator_url', ownUrl, 'tls:', 4222);
  if ((cert === undefined) !== (key === undefined)) fail('--cert and --key', 'expected both or neither');
  if (ca !== undefined && cert === undefined) fail('--ca', 'expected --cert and --key with it');
  if (cert !== undefined && san !== undefined) fail('--san', 'a certificate of your own has its names already');
  if (websocket === undefined && options.websocketPort !== undefined) {
    fail('--nats_websocket_port', 'expected --websocket_url with it');
  }
  const websocketPort = options.websocketPort ?? websocket?.port;
  const ports = { port: options.port ?? port, websocketPort, monitorPort };
  const [first, second] = duplicates(Object.values(ports));
  if (first !== undefined || second !== undefined) fail('ports', `${first ?? second} is given twice`, '--help');
  return {
    ...{ url, port: ports.port },
    ...(websocketUrl === undefined ? {} : { websocketUrl }),
    ...(ownUrl === undefined ? {} : { ownUrl }),
    ...(host === undefined ? {} : { host }),
    ...(websocketPort === undefined ? {} : { websocketPort }),
    ...(monitorPort === undefined ? {} : { monitorPort }),
    ...(storeFolder === undefined ? {} : { storeFolder: resolve(storeFolder) }),
    ...(maxStoreBytes === undefined ? {} : { maxStoreBytes }),
    ...(san === undefined ? {} : { san: [...san] }),
    ...(cert === undefined || key === undefined
      ? {}
      : {
          certificate: {
            ...{ from: 'files' as const, cert: resolve(cert), key: resolve(key) },
            ...(ca === undefined ? {} : { ca: resolve(ca) }),
          },
        }),
  };
}

const duplicates = (ports: readonly (number | undefined)[]): (number | undefined)[] =>
  ports.filter((port, i) => port !== undefined && ports.indexOf(port) !== i);

function checkedUrl(where: string, text: string, protocol: string, defaultPort: number): { port: number } {
  const expected = `${protocol}//host:${defaultPort}`;
  const url = URL.canParse(text) ? new URL(text) : fail(where, `expected ${expected}, got ${JSON.stringify(text)}`);
  const bare =
    url.username === '' && url.password === '' && /^\/?$/.test(url.pathname) && url.search === '' && url.hash === '';
  if (url.protocol !== protocol || url.hostname === '' || !bare)
    fail(where, `expected ${expected}, got ${JSON.stringify(text)}`);
  return { port: url.port === '' ? defaultPort : Number(url.port) };
}

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '');

interface Circumstances {
  /** Of the URLs. */
  readonly hosts: readonly string[];
  /** Computes of the hospitals. */
  readonly silos: readonly string[];
  readonly now: Date;
  readonly canSync: boolean;
}

async function make(
  finalFolder: string,
  workspaceName: string,
  asked: Partial<FederationDescription>,
  { hosts, silos, now, canSync }: Circumstances,
): Promise<FederationDescription> {
  const folder = besidePath(finalFolder);
  const [paths, finalPaths] = [federationPaths(folder), federationPaths(finalFolder)];
  const accounts = newAccounts(silos);
  const systemAccount = accounts.system.getPublicKey();
  const storeFolder = asked.storeFolder ?? finalPaths.store;
  const description = federationSchema.parse({
    ...{ version: 1, host: '0.0.0.0', san: [], certificate: { from: 'fedrad' }, storeFolder, canSync },
    ...(asked.maxStoreBytes === undefined
      ? { maxStoreBytes: await storeBytes(asked.storeFolder ?? dirname(finalFolder)) }
      : {}),
    ...asked,
    systemAccount,
  });
  if (description.maxStoreBytes < MIN_STORE_BYTES) {
    const found = `${(description.maxStoreBytes / 1e9).toFixed(1)} GB`;
    fail('store of nats-server', `expected 2 GB at least, got ${found}`, 'choose another disk: --nats_store_dir');
  }
  try {
    for (const each of [paths.keys.folder, paths.silos, paths.resolver, paths.store]) await makePrivateFolder(each);
    await writeCertificates(description, paths, workspaceName, hosts, now);
    await writeAccounts(paths.keys.folder, accounts);
    await writeNewFile(paths.keys.signing, toPem(newSigningKey()));
    await writeNewFile(paths.operatorJwt, await operatorJwt(accounts.operator, systemAccount));
    const jwts = await accountJwts(workspaceName, accounts, []);
    await writeNewFile(paths.serverConfig, serverConfigOf(description, finalPaths, workspaceName, jwts));
    await writeNewFile(paths.description, toStoredJson(description));
    await flushFolder(paths.keys.folder);
    await flushFolder(folder);
    await rename(folder, finalFolder);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  await flushFolder(dirname(finalFolder));
  return description;
}

/** Of the disk where the folder will be. */
async function storeBytes(folder: string): Promise<number> {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const { bavail, bsize } = await statfs(existing);
  return Math.floor(Math.min(MAX_STORE_BYTES, 0.8 * bavail * bsize));
}

async function writeCertificates(
  { certificate, san }: FederationDescription,
  paths: ReturnType<typeof federationPaths>,
  workspaceName: string,
  hosts: readonly string[],
  now: Date,
): Promise<void> {
  // The library is large, and nobody else needs it.
  const { checkAuthority, checkServerCertificate, newAuthority, newServerCertificate } = await import(
    './certificates.ts'
  );
  if (certificate.from === 'files') {
    const own = {
      certificate: await readPem('--cert', certificate.cert),
      key: await readPem('--key', certificate.key),
    };
    checkServerCertificate(own, hosts, now);
    if (certificate.ca !== undefined) checkAuthority(await readPem('--ca', certificate.ca), '--ca');
    return;
  }
  const bad = san.find((name) => !isIP(name) && !/^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(name));
  if (bad !== undefined) fail('--san', `expected host names or addresses, got ${JSON.stringify(bad)}`);
  const authority = await newAuthority(`fedrad ${workspaceName}`, now);
  const server = await newServerCertificate(authority, [...new Set([...hosts, ...san, ...LOCAL_HOSTS])], now);
  await writeNewFile(paths.ca, authority.certificate);
  await writeNewFile(paths.keys.authority, authority.key);
  await writeNewFile(paths.serverCertificate, server.certificate);
  await writeNewFile(paths.keys.server, server.key);
}

async function readPem(option: string, file: string): Promise<string> {
  await access(file, constants.R_OK).catch((cause: unknown) =>
    fail(option, `${file} cannot be read`, undefined, cause),
  );
  return readFile(file, 'utf8');
}

/** Throws where options ask for something else than what exists. */
function checkSame(
  workspaceName: string,
  existing: FederationDescription,
  asked: Partial<FederationDescription>,
): void {
  for (const [key, value] of Object.entries(asked)) {
    const recorded = existing[key as keyof FederationDescription];
    if (JSON.stringify(recorded) === JSON.stringify(value)) continue;
    fail(
      `federation of workspace "${workspaceName}"`,
      `it exists with ${key} ${JSON.stringify(recorded) ?? '(none)'}, asked for ${JSON.stringify(value)}`,
      'leave the option out, or make another workspace: fedrad provision --workspace_name',
    );
  }
}
