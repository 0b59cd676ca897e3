/**
 * @file What an orchestrator knows of each hospital, one JSON file for each, changed under a lock and written whole. The revocations of
 * the account follow from these files and from nothing else.
 */
import type { KeyObject } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  codeOf,
  makePrivateFolder,
  readStoredJson,
  toStoredJson,
  waitForLock,
  writeFileAtomic,
} from '../workspace/index.ts';
import { publicFromText } from './keys.ts';

/** `suspended`: gets no work until it is resumed. `revoked`: cannot connect any more. */
export type SiloState = 'invited' | 'joined' | 'suspended' | 'revoked';

/** A hospital, as the orchestrator sees it. */
export interface Silo {
  readonly compute: string;
  readonly state: SiloState;
  /** Ed25519, of what it seals; there from joining on. */
  readonly signingKey?: KeyObject;
  readonly fingerprint?: string;
  /** ISO 8601. */
  readonly joinedAt?: string;
  /** Why it is suspended or revoked. */
  readonly reason?: string;
}

const member = z.strictObject({
  /** The invitation that it joined with. */
  invitation: z.string(),
  userKey: z.string(),
  signingKey: z.string(),
  fingerprint: z.string(),
  jwt: z.string(),
  joinedAt: z.iso.datetime(),
});

const siloFileSchema = z.strictObject({
  compute: z.string(),
  state: z.enum(['invited', 'joined', 'suspended', 'revoked']),
  reason: z.string().exactOptional(),
  /** The last one that was made. */
  invitation: z.strictObject({ id: z.string(), expiresAt: z.iso.datetime() }).exactOptional(),
  member: member.exactOptional(),
  /** Users that were cut off, and when, in seconds: the time goes into the account's JWT. */
  revoked: z.array(z.strictObject({ userKey: z.string(), at: z.int().positive() })),
});

export type SiloFile = Readonly<z.infer<typeof siloFileSchema>>;

export interface SiloFiles {
  /** In the order of their names; computes that were never invited have none. */
  list(): Promise<readonly SiloFile[]>;
  read(compute: string): Promise<SiloFile | undefined>;
  /** Replaces the file by what `change` makes of it; nobody else changes any meanwhile. `change` may throw to leave it. */
  update(compute: string, change: (before: SiloFile | undefined) => SiloFile | Promise<SiloFile>): Promise<SiloFile>;
}

/** The files in this folder; `lockPath` lies outside it. */
export function openSiloFiles(folder: string, lockPath: string): SiloFiles {
  const path = (compute: string): string => join(folder, `${compute}.json`);
  const read = (compute: string): Promise<SiloFile | undefined> =>
    readStoredJson(path(compute), siloFileSchema).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    });
  return {
    read,
    list: async () => {
      const names = (await readdir(folder)).filter((name) => /^[^.].*\.json$/.test(name)).sort();
      return Promise.all(names.map((name) => readStoredJson(join(folder, name), siloFileSchema)));
    },
    update: async (compute, change) => {
      await makePrivateFolder(folder);
      using _lock = await waitForLock(lockPath, path(compute));
      const after = await change(await read(compute));
      await writeFileAtomic(path(compute), toStoredJson(siloFileSchema.parse(after)));
      return after;
    },
  };
}

/** What others see of a file. */
export function siloOf({ compute, state, reason, member }: SiloFile): Silo {
  return {
    ...{ compute, state },
    ...(member && {
      signingKey: publicFromText(member.signingKey, `signing key of ${compute}`),
      fingerprint: member.fingerprint,
      joinedAt: member.joinedAt,
    }),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** The revocations of the account: by user key, the time of the last. */
export function revocations(files: readonly SiloFile[]): Record<string, number> {
  const revoked: Record<string, number> = {};
  for (const { userKey, at } of files.flatMap((file) => file.revoked)) {
    revoked[userKey] = Math.max(revoked[userKey] ?? 0, at);
  }
  return revoked;
}
