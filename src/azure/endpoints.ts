/**
 * @file Where Azure is: the public cloud, or what `FEDRAD_AZURE_ENDPOINTS` says (sovereign clouds, and a stand-in in tests). It holds
 * JSON: `{"resourceManager": "https://…", "blob": {"<account>": "https://…"}, "vault": {"<name>": "https://…"}, "lookMs": 15000}`; what it
 * leaves out is the public cloud's.
 */
import { z } from 'zod';
import { fail } from '../base/index.ts';

const VARIABLE = 'FEDRAD_AZURE_ENDPOINTS';

const endpointsSchema = z.strictObject({
  resourceManager: z.url().default('https://management.azure.com'),
  /** By storage account. */
  blob: z.record(z.string(), z.url()).default({}),
  /** By key vault, in lower case. */
  vault: z.record(z.string().lowercase(), z.url({ protocol: /^https$/ })).default({}),
  lookMs: z.int().min(1).max(600_000).optional(),
});

export interface AzureEndpoints {
  /** Base URL of the resource manager. */
  readonly resourceManager: string;
  /** Base URL of a storage account's blobs. */
  readonly blobUrl: (account: string) => string;
  readonly vault: (name: string) => VaultAddress;
  /** Longest pause between two looks at what goes on there, in milliseconds; default that of whoever looks. */
  readonly lookMs?: number;
}

export interface VaultAddress {
  readonly url: string;
  /** Named by hand: its sign-in challenge may be for a resource of another host. */
  readonly elsewhere: boolean;
}

export function azureEndpoints(environment: NodeJS.ProcessEnv = process.env): AzureEndpoints {
  const checked = endpointsSchema.safeParse(parsed(environment[VARIABLE] || '{}'));
  if (!checked.success) return fail(VARIABLE, z.prettifyError(checked.error), 'see docs/azure.md');
  const { resourceManager, blob, vault, lookMs } = checked.data;
  return {
    resourceManager,
    blobUrl: (account) => blob[account] ?? `https://${account}.blob.core.windows.net`,
    vault: (name) => {
      const url = vault[name.toLowerCase()];
      return { url: url ?? `https://${name}.vault.azure.net`, elsewhere: url !== undefined };
    },
    ...(lookMs === undefined ? {} : { lookMs }),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    return fail(VARIABLE, 'expected JSON', 'see docs/azure.md', cause);
  }
}
