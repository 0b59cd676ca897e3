/** @file Where the parts of a federation lie in a workspace, and what its description says. */
import { join } from 'node:path';
import { z } from 'zod';
import { FEDERATION_FILE, homePaths } from '../workspace/index.ts';

export const federationSchema = z.strictObject({
  version: z.literal(1),
  /** What hospitals dial. */
  url: z.string(),
  websocketUrl: z.string().exactOptional(),
  /** What the orchestrator itself dials; without it `url`. */
  ownUrl: z.string().exactOptional(),
  /** Where nats-server listens, and what it keeps. */
  host: z.string(),
  port: z.int(),
  websocketPort: z.int().exactOptional(),
  monitorPort: z.int().exactOptional(),
  storeFolder: z.string(),
  maxStoreBytes: z.int().positive(),
  canSync: z.boolean(),
  /** Names and addresses of the server beside that of `url`. */
  san: z.array(z.string()),
  /** Whose certificate: one from our own authority, or files of the user. */
  certificate: z.discriminatedUnion('from', [
    z.strictObject({ from: z.literal('fedrad') }),
    z.strictObject({
      from: z.literal('files'),
      cert: z.string(),
      key: z.string(),
      /** Without it hospitals trust the authorities of their system. */
      ca: z.string().exactOptional(),
    }),
  ]),
  /** Its public key. */
  systemAccount: z.string(),
});

export type FederationDescription = Readonly<z.infer<typeof federationSchema>>;

/** Where things lie in the folder of a federation. */
export const federationPaths = (folder: string) => ({
  folder,
  description: join(folder, FEDERATION_FILE),
  serverConfig: join(folder, 'nats-server.conf'),
  operatorJwt: join(folder, 'operator.jwt'),
  keys: {
    folder: join(folder, 'keys'),
    signing: join(folder, 'keys', 'signing.pem'),
    authority: join(folder, 'keys', 'ca.pem'),
    server: join(folder, 'keys', 'server.pem'),
  },
  ca: join(folder, 'ca.pem'),
  serverCertificate: join(folder, 'server.pem'),
  resolver: join(folder, 'resolver'),
  store: join(folder, 'jetstream'),
  silos: join(folder, 'silos'),
});

/** Held while a file of a silo changes. */
export const federationLock = (home: string, workspaceName: string): string =>
  join(homePaths(home).locks, `federation-${workspaceName}`);
