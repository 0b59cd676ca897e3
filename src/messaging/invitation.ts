/**
 * @file An invitation: one line of text that a person carries to a hospital. It says where to dial and whom to trust, and holds a credential
 * that can do one thing for a short time: ask to join. Whoever steals it can join once in the hospital's place, which the comparison of
 * fingerprints shows.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { z } from 'zod';
import { fail } from '../base/index.ts';

const PREFIX = 'fedrad-invite:';
const MAX_LINE = 32_768;
const MAX_TEXT_BYTES = 65_536;

/** Safe as a token of a subject and as a file name. */
export const computeName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);
const serverUrl = (protocol: string) => z.string().regex(new RegExp(`^${protocol}://[^\\s/@]+$`));

const invitationSchema = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  url: serverUrl('tls'),
  websocketUrl: serverUrl('wss').exactOptional(),
  /** PEM; without it the system's authorities are trusted. */
  ca: z.string().exactOptional(),
  workspaceName: z.string(),
  compute: computeName,
  /** Those that lie at the hospital. */
  datastores: z.array(z.string().regex(/^[A-Za-z0-9_-]{1,100}$/)).min(1),
  /** Ed25519. */
  orchestratorKey: z.string(),
  expiresAt: z.iso.datetime(),
  /** The credential. */
  jwt: z.string(),
  seed: z.string(),
});

export type Invitation = Readonly<z.infer<typeof invitationSchema>>;

/** The line, without spaces. */
export const invitationLine = (invitation: Invitation): string =>
  PREFIX + deflateRawSync(JSON.stringify(invitation), { level: 9 }).toString('base64url');

/**
 * The invitation in a line; white space in it, from a mail program, does no harm. Never quotes the line, which holds a credential.
 *
 * @throws FedradError when it is not one, or was cut
 */
export function readInvitation(line: string): Invitation {
  const where = 'invitation';
  const remedy = 'paste all of the line that fedrad silo invite printed';
  const text = line.replaceAll(/\s+/g, '');
  if (!text.startsWith(PREFIX) || text.length > MAX_LINE) return fail(where, `expected ${PREFIX}…`, remedy);
  let value: unknown;
  try {
    const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url');
    value = JSON.parse(inflateRawSync(bytes, { maxOutputLength: MAX_TEXT_BYTES }).toString('utf8'));
  } catch {
    return fail(where, 'it is damaged or was cut', remedy);
  }
  const checked = invitationSchema.safeParse(value);
  return checked.success ? checked.data : fail(where, 'it was made by another version', 'update fedrad on both sides');
}
