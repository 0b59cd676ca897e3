/** @file Who the user is to Azure: the environment, the Azure CLI and the others of DefaultAzureCredential. Nothing is asked until the first call. */
import { DefaultAzureCredential, type TokenCredential } from '@azure/identity';

/**
 * The sign-in of this process. In a job of Azure ML whose compute has a user-assigned identity, `DEFAULT_IDENTITY_CLIENT_ID` names it
 * (https://learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication); `AZURE_CLIENT_ID` names another. Where `AZURE_AUTHORITY_HOST` names another authority than the public cloud's, the public cloud is not asked
 * whether it is one: it may not be reachable from there.
 */
export function azureCredential(environment: NodeJS.ProcessEnv = process.env): TokenCredential {
  const identity = environment['AZURE_CLIENT_ID'] || environment['DEFAULT_IDENTITY_CLIENT_ID'];
  return new DefaultAzureCredential({
    disableInstanceDiscovery: Boolean(environment['AZURE_AUTHORITY_HOST']),
    ...(identity ? { managedIdentityClientId: identity } : {}),
  });
}
