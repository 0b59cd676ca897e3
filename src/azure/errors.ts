/**
 * @file What Azure says, as one line for whoever runs fedrad: where, what is wrong, and what to do. Azure's codes are in the body of its
 * answers (`error.code`), in a header of storage's, or in the name of a sign-in error.
 */
import { FedradError, messageOf } from '../base/index.ts';

interface Answer {
  readonly status: number | undefined;
  readonly code: string;
  readonly message: string;
}

/** The error as one of fedrad's; one that is already stays itself. */
export function explainAzure(where: string, error: unknown): FedradError {
  if (error instanceof FedradError) return error;
  const answer = answerOf(error);
  const [problem, remedy] = wordsFor(answer);
  return new FedradError({ where, problem, remedy, cause: error });
}

/** The action's result; what Azure refuses is thrown as one of fedrad's errors. */
export async function explained<T>(where: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw explainAzure(where, error);
  }
}

/** The HTTP status of an answer that was an error, if it is one. */
export const statusOf = (error: unknown): number | undefined =>
  typeof error === 'object' && error !== null && 'statusCode' in error ? Number(error.statusCode) : undefined;

function answerOf(error: unknown): Answer {
  const { statusCode, code, name, details } = (typeof error === 'object' && error !== null ? error : {}) as {
    statusCode?: number;
    code?: unknown;
    name?: unknown;
    details?: { error?: { code?: unknown }; errorCode?: unknown };
  };
  const telling =
    typeof name === 'string' && /Authentication|CredentialUnavailable|^AbortError$/.test(name) ? name : '';
  return {
    status: statusCode,
    // An answer to HEAD has no body; storage says it in a header too.
    code: telling || String(details?.error?.code ?? code ?? details?.errorCode ?? ''),
    message: messageOf(error).slice(0, 300),
  };
}

function wordsFor({ status, code, message }: Answer): [problem: string, remedy: string] {
  if (
    /Authentication|CredentialUnavailable|ExpiredAuthenticationToken|InvalidAuthenticationToken/.test(code) ||
    status === 401
  )
    return ['the sign-in to Azure is missing or has expired', 'az login'];
  // Every call ends at its deadline; nothing else aborts one.
  if (code === 'AbortError') return ['no answer in the time that a call has', 'look at the connection, then try again'];
  if (code === 'SubscriptionNotFound')
    return ['Azure knows no such subscription', 'az account list; --subscription_id'];
  if (code === 'ResourceGroupNotFound')
    return ['Azure knows no such resource group', '--resource_group, or fedrad provision --target azure'];
  if (status === 404) return [`not found: ${message}`, 'look at the name, the resource group and the subscription'];
  if (code === 'AuthorizationPermissionMismatch')
    return [
      'the signed-in user may not read or write these blobs',
      'ask an owner for the role Storage Blob Data Contributor (to read only: Reader) on the storage account',
    ];
  // The resource manager's word for a missing role is AuthorizationFailed; this one is the firewall of a storage account.
  if (code === 'AuthorizationFailure')
    return [
      'the storage takes no calls from this network: its firewall, or public access to it is disabled',
      'run this inside its network; a role does not help',
    ];
  if (status === 403)
    return [`the signed-in user may not do this: ${message}`, 'ask an owner of the resource group for the role'];
  if (/Quota/i.test(code) || /quota/i.test(message))
    return [`Azure has no quota left: ${message}`, 'ask for more in the portal under Quotas'];
  if (status === 429) return ['Azure asks for patience (429) and goes on asking', 'try again in some minutes'];
  if (status !== undefined && status >= 500) return [`Azure fails (${status}): ${message}`, 'try again'];
  return [message, 'look at the status of Azure, then try again'];
}
