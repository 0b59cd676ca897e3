/** @file Who the user is to Azure: the environment, the Azure CLI and the others of DefaultAzureCredential. Nothing is asked until the first call. */
import { DefaultAzureCredential, type TokenCredential } from '@azure/identity';

/**
 * The sign-in of this process. Where `AZURE_AUTHORITY_HOST` names another authority than the public cloud's, the public cloud is not asked
 * whether it is one: it may not be reachable from there.
 */
export const azureCredential = (environment: NodeJS.ProcessEnv = process.env): TokenCredential =>
  new DefaultAzureCredential({ disableInstanceDiscovery: Boolean(environment['AZURE_AUTHORITY_HOST']) });
