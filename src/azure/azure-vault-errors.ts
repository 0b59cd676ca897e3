/**
 * @file What Key Vault says, as one line with the command that mends it. A refusal is told apart by `error.innererror.code`: AccessDenied (no
 * policy), ForbiddenByRbac (no role), ForbiddenByFirewall and ForbiddenByConnection (not from this network); who was refused and what on
 * are in its sentence (https://learn.microsoft.com/azure/key-vault/general/rest-error-codes). A value is in no answer of an error.
 */
import { z } from 'zod';
import { FedradError } from '../base/index.ts';
import type { SecretPermission } from '../workspace/index.ts';
import { explainAzure } from './errors.ts';

export interface VaultCall {
  readonly permission: SecretPermission;
  readonly secret?: string;
}

interface Asked {
  readonly vault: string;
  readonly url: string;
  readonly notHere: string;
  readonly call: VaultCall;
  /** What the vault answered; empty where it did not. */
  readonly body: string;
}

/** The host's name is not known, or not now. */
const NO_HOST: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ENODATA', 'EAI_NODATA']);

export function explainVault({ vault, url, notHere, call, body }: Asked, error: unknown): FedradError {
  const where = `key vault "${vault}"`;
  const told = (problem: string, remedy: string) => new FedradError({ where, problem, remedy, cause: error });
  if (NO_HOST.has((error as { code?: unknown } | null)?.code))
    return told(
      `none answers at ${new URL(url).host}${notHere}`,
      'fedrad workspace show for those here, az keyvault list for those on Azure',
    );
  const { status, inner, message } = answerOf(error, body);
  const oid = /\boid=([0-9a-f-]{36})/i.exec(message)?.[1];
  if (status === 403) {
    const who = oid ?? 'the signed-in identity';
    const id = oid ?? '$(fedrad account show --query id --target azure)';
    if (inner === 'AccessDenied')
      return told(
        `${who} has no permission to ${call.permission} secrets`,
        `fedrad keyvault set-policy -n ${vault} --secret-permissions ${call.permission} --object-id ${id}, with what it may do already`,
      );
    if (inner === 'ForbiddenByRbac') {
      const scope = /Resource: '([^']+?)(?:\/secrets\b[^']*)?'/i.exec(message)?.[1] ?? '<id of the vault>';
      return told(
        `${who} has no role to ${call.permission} secrets`,
        `${assignRole(call.permission === 'get' || call.permission === 'list' ? READER : WRITER, id, scope)}; a new role takes some minutes`,
      );
    }
    if (inner.startsWith('ForbiddenBy'))
      return told(`it takes no calls from this network (${inner})`, 'run this inside its network, or see its firewall');
  }
  if (status === 404 && call.secret !== undefined)
    return told(
      `no secret "${call.secret}"`,
      `fedrad keyvault secret list --vault-name ${vault} --target azure; fedrad keyvault secret set --name ${call.secret}`,
    );
  if (status === 409 && /^ObjectIs(DeletedButRecoverable|BeingDeleted)$/.test(inner))
    return told(
      `the secret "${call.secret}" was deleted, and the vault keeps it and its name for a while`,
      `az keyvault secret recover --vault-name ${vault} --name ${call.secret}, then set it again; or purge it`,
    );
  return explainAzure(where, error);
}

export const READER = 'Key Vault Secrets User';
export const WRITER = 'Key Vault Secrets Officer';

export const assignRole = (role: string, objectId: string, scope: string): string =>
  `az role assignment create --role "${role}" --assignee ${objectId} --scope ${scope}`;

const bodySchema = z.object({
  error: z.object({ message: z.string().default(''), innererror: z.object({ code: z.string() }).nullish() }),
});

function answerOf(error: unknown, body: string): { status: number | undefined; inner: string; message: string } {
  const { statusCode: status } = (typeof error === 'object' && error !== null ? error : {}) as { statusCode?: number };
  const { message = '', innererror } = bodySchema.safeParse(parsed(body)).data?.error ?? {};
  return { status, inner: innererror?.code ?? '', message };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not the vault's own words, a proxy's perhaps.
    return undefined;
  }
}
