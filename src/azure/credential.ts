/**
 * @file Who the user is to Azure: the environment, the Azure CLI and the others of DefaultAzureCredential; where none of them knows
 * anybody and a person sits at a terminal, the browser. Nothing is asked until the first call.
 */
import {
  type AccessToken,
  DefaultAzureCredential,
  InteractiveBrowserCredential,
  type TokenCredential,
} from '@azure/identity';
import { orAborted } from '../base/index.ts';

const signIns: { asking?: TokenCredential; quiet?: TokenCredential } = {};

/**
 * The sign-in of this process: one for all calls, so that a browser opens at most once.
 *
 * @param options.mayAsk false: nobody is asked, for a command that only looks (default true)
 */
export function azureCredential({ mayAsk = true } = {}): TokenCredential {
  const kind = mayAsk ? 'asking' : 'quiet';
  // A person who could answer sits at a terminal.
  const known = signIns[kind] ?? newCredential(mayAsk && Boolean(process.stdin.isTTY && process.stdout.isTTY));
  signIns[kind] = known;
  return known;
}

/**
 * A sign-in. In a job of Azure ML whose compute has a user-assigned identity, `DEFAULT_IDENTITY_CLIENT_ID` names it
 * (https://learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication); `AZURE_CLIENT_ID` names another.
 * Where `AZURE_AUTHORITY_HOST` names another authority than the public cloud's, the public cloud is not asked whether it is one: it may not
 * be reachable from there.
 */
function newCredential(withBrowser: boolean): TokenCredential {
  const { env } = process;
  const identity = env['AZURE_CLIENT_ID'] || env['DEFAULT_IDENTITY_CLIENT_ID'];
  const tenantId = env['AZURE_TENANT_ID'];
  const authority = { disableInstanceDiscovery: Boolean(env['AZURE_AUTHORITY_HOST']) };
  const usual = new DefaultAzureCredential({
    ...authority,
    ...(identity ? { managedIdentityClientId: identity } : {}),
  });
  if (!withBrowser) return usual;
  return orBrowser(usual, new InteractiveBrowserCredential({ ...authority, ...(tenantId ? { tenantId } : {}) }));
}

/**
 * The browser where the usual ways know nobody; one that knows somebody whom Azure refuses is an error of its own. ChainedTokenCredential
 * does not do it: it takes what DefaultAzureCredential throws, a chain itself, for such a refusal.
 */
function orBrowser(usual: TokenCredential, browser: TokenCredential): TokenCredential {
  // One window for all who ask at once; those who come later get its account.
  let last: Promise<AccessToken | null> | undefined;
  const ask: TokenCredential['getToken'] = (...args) => {
    if (!last)
      console.error('Nobody is signed in to Azure (az login). A browser opens: sign in there within two minutes.');
    const next = (last ?? Promise.resolve(null)).catch(() => null).then(() => browser.getToken(...args));
    last = next;
    // The browser itself waits for ever, whatever its options say.
    return orAborted(next, AbortSignal.any([AbortSignal.timeout(BROWSER_MS), ...callerOf(args)])).catch(
      (cause: unknown) => {
        throw new NobodySignedIn(cause);
      },
    );
  };
  return {
    getToken: async (...args) => {
      if (last) return ask(...args);
      try {
        return await usual.getToken(...args);
      } catch (error) {
        if (!(error instanceof Error && NOBODY.has(error.name))) throw error;
        return ask(...args);
      }
    },
  };
}

const BROWSER_MS = 120_000;

const callerOf = ([, options]: Parameters<TokenCredential['getToken']>): AbortSignal[] =>
  options?.abortSignal instanceof AbortSignal ? [options.abortSignal] : [];

/** Named as Microsoft's own errors of this kind are: errors.ts knows them by it. */
class NobodySignedIn extends Error {
  constructor(cause: unknown) {
    super('nobody has signed in with the browser', { cause });
    this.name = 'AuthenticationRequiredError';
  }
}

const NOBODY = new Set(['AggregateAuthenticationError', 'CredentialUnavailableError']);
