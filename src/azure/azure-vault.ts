/**
 * @file Secrets of a key vault on Azure, by Microsoft's own client (Key Vault's data plane, 2026-04-01). Who asks is who is signed in: unlike a
 * local vault, this one takes no identity. The client tries again where Azure says 429 or 5xx and honours Retry-After; each call has a
 * deadline beside that. It never purges and never recovers; who may do what is azure-vault-policy.ts.
 */
import type { TokenCredential } from '@azure/identity';
import type { SecretClient } from '@azure/keyvault-secrets';
import { fail } from '../base/index.ts';
import {
  checkSecretName,
  checkSecretValue,
  type OpenVault,
  Secret,
  type SecretProperties,
} from '../workspace/index.ts';
import { explainVault, type VaultCall } from './azure-vault-errors.ts';
import type { VaultAddress } from './endpoints.ts';

export interface AzureVaultOptions {
  readonly name: string;
  readonly address: VaultAddress;
  readonly credential: TokenCredential;
  /** What to add where no vault answers: that there is none elsewhere either. */
  readonly notHere?: string;
}

const CALL_TIMEOUT_MS = 120_000;
/** Milliseconds before the first new try, then twice as many each time. */
const RETRY = { maxRetries: 3, retryDelayInMs: 500 };
type OperationOptions = NonNullable<Parameters<SecretClient['getSecret']>[1]>;
const MAX_SECRETS = 10_000;

/**
 * Asks Azure nothing yet. A list is without the secrets that Azure keeps for certificates; what is deleted the vault keeps for the days of its
 * soft delete, and until then the name is not free.
 */
export async function openAzureVault({
  name: vault,
  address,
  credential,
  notHere = '',
}: AzureVaultOptions): Promise<OpenVault> {
  const { SecretClient } = await import('@azure/keyvault-secrets');
  const client = new SecretClient(address.url, credential, {
    retryOptions: RETRY,
    // Everywhere else the challenge must be of the vault's own domain: a stranger's host gets no token.
    disableChallengeResourceVerification: address.elsewhere,
  });
  const where = `key vault "${vault}"`;
  const call = async <T>(what: VaultCall, ask: (options: OperationOptions) => Promise<T>): Promise<T> => {
    let body = '';
    // The client's own error of a list leaves out what the vault said.
    const onResponse: OperationOptions['onResponse'] = ({ status, bodyAsText }) => {
      if (status >= 400) body = bodyAsText ?? '';
    };
    try {
      return await ask({ abortSignal: AbortSignal.timeout(CALL_TIMEOUT_MS), onResponse });
    } catch (error) {
      throw explainVault({ vault, url: address.url, notHere, call: what, body }, error);
    }
  };

  return {
    name: vault,
    setSecret: async (secret, value) => {
      checkSecretName(secret, where);
      checkSecretValue(value, `${where} secret "${secret}"`);
      return call({ permission: 'set', secret }, async (options) =>
        propertiesOf((await client.setSecret(secret, value, options)).properties),
      );
    },
    getSecret: async (secret) => {
      checkSecretName(secret, where);
      const { value } = await call({ permission: 'get', secret }, (options) => client.getSecret(secret, options));
      return new Secret(value ?? fail(where, `the secret "${secret}" has no value`, 'set it again'));
    },
    listSecrets: () =>
      call({ permission: 'list' }, async (options) => {
        const secrets: SecretProperties[] = [];
        for await (const each of client.listPropertiesOfSecrets(options)) {
          if (each.certificateKeyId === undefined) secrets.push(propertiesOf(each));
          if (secrets.length > MAX_SECRETS) fail(where, `it has more than ${MAX_SECRETS} secrets`, 'use the portal');
        }
        return secrets.sort((a, b) => (a.name < b.name ? -1 : 1));
      }),
    deleteSecret: async (secret) => {
      checkSecretName(secret, where);
      await call({ permission: 'delete', secret }, (options) => client.beginDeleteSecret(secret, options));
    },
  };
}

const propertiesOf = ({
  name,
  createdOn,
  updatedOn,
}: {
  name: string;
  createdOn?: Date;
  updatedOn?: Date;
}): SecretProperties => ({
  name,
  createdAt: createdOn?.toISOString() ?? '',
  updatedAt: updatedOn?.toISOString() ?? '',
});
