/** @file Who the user is to Azure: the environment, the Azure CLI and the others of DefaultAzureCredential. Nothing is asked until the first call. */
import { DefaultAzureCredential, type TokenCredential } from '@azure/identity';

/** The sign-in of this process. */
export const azureCredential = (): TokenCredential => new DefaultAzureCredential();
