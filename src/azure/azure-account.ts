/**
 * @file Who is signed in to Azure: the object id and the name in the claims of the resource manager's token, whose signature is Azure's to
 * check (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference). They are shown, and nothing is permitted by them.
 */
import type { TokenCredential } from '@azure/identity';
import { z } from 'zod';
import { fail } from '../base/index.ts';
import { explainAzure } from './errors.ts';

const claimsSchema = z.object({
  oid: z.guid(),
  name: z.string().optional(),
  unique_name: z.string().optional(),
  app_displayname: z.string().optional(),
});

const TOKEN_TIMEOUT_MS = 120_000;
const WHERE = 'sign-in to Azure';

/** @throws FedradError where nobody is signed in. A service principal whose token has no name shows its object id as one. */
export async function azureAccount(
  credential: TokenCredential,
  resourceManager: string,
): Promise<{ readonly id: string; readonly displayName: string }> {
  const token = await credential
    .getToken(`${resourceManager.replace(/\/$/, '')}/.default`, { abortSignal: AbortSignal.timeout(TOKEN_TIMEOUT_MS) })
    .catch((error: unknown) => Promise.reject(explainAzure(WHERE, error)));
  const claims = claimsSchema.safeParse(claimsOf(token?.token ?? ''));
  if (!claims.success) return fail(WHERE, 'its token names no object id', 'az ad signed-in-user show --query id');
  const { oid, name, unique_name, app_displayname } = claims.data;
  return { id: oid, displayName: name ?? unique_name ?? app_displayname ?? oid };
}

function claimsOf(jwt: string): unknown {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());
  } catch {
    // Not a JWT: the token names nobody.
    return undefined;
  }
}
