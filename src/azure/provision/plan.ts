/**
 * @file What to make on Azure: a workspace with an orchestrator and silos, by the names of the Azure ML example (`orchestrator-01`,
 * `silo0-01`, `datastore_silo0`, `kv-fldemo`, …). Pure. Azure's own limits of names are held here, so that nothing fails half-way for a
 * name.
 */
import { z } from 'zod';
import { fail } from '../../base/index.ts';
import { DEFAULT_REGIONS } from '../../workspace/index.ts';

const region = z.string().regex(/^[a-z][a-z0-9]{2,40}$/, 'expected a region such as westeurope');
const size = z.string().regex(/^(Standard|Basic)_[A-Za-z0-9_]{1,60}$/, 'expected a VM size such as Standard_DS4_v2');

const planSchema = z.strictObject({
  workspaceName: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{2,32}$/, 'expected 3 to 33 letters, digits, hyphens and underscores'),
  /** `st<base>silo99` must fit the 24 letters and digits of a storage account, `cr<base>` have the 5 of a registry. */
  baseName: z
    .string()
    .min(3)
    .max(16)
    .regex(/^[a-z](-?[a-z0-9])+$/, 'expected lower-case letters, digits and single hyphens, a letter first')
    .refine((name) => name.replaceAll('-', '').length >= 3, 'expected at least 3 letters and digits'),
  orchestratorRegion: region,
  /** One for each silo. A template has at most 800 resources, and a silo takes 15 of them at most. */
  siloRegions: z.array(region).min(1).max(50).readonly(),
  /** Of every cluster. */
  vmSize: size,
  /** Of a second cluster for each silo, `silo0-02`; without: none. */
  gpuSize: size.exactOptional(),
  /** Nodes a cluster grows to; with nothing to do it has none. */
  maxNodes: z.int().min(1).max(100),
  /**
   * `public`: whoever has a role may read storage from anywhere. `private`: storage is reached only from inside the silos' networks
   * ("eyes-off"). `private-silos`: the silos' so, the orchestrator's public.
   */
  storage: z.enum(['public', 'private', 'private-silos']),
});

export type ProvisionPlan = Readonly<z.infer<typeof planSchema>>;

export interface PlanOptions {
  readonly workspaceName?: string;
  readonly baseName?: string;
  readonly orchestratorRegion?: string;
  /** In turn, where there are more silos than regions. */
  readonly regions?: readonly string[];
  readonly silos?: number;
  readonly vmSize?: string;
  readonly gpuSize?: string;
  readonly maxNodes?: number;
  readonly storage?: ProvisionPlan['storage'];
}

/** The options of the command that each part of a plan comes from. */
const OPTIONS: Readonly<Record<keyof ProvisionPlan, string>> = {
  workspaceName: '--workspace_name',
  baseName: '--demo_base_name',
  orchestratorRegion: '--orchestrator-region',
  siloRegions: '--regions, --silos',
  vmSize: '--vm-size',
  gpuSize: '--gpu-size',
  maxNodes: '--max-nodes',
  storage: '--private-networking',
};

/**
 * A plan with the example's values for what is left out: base `fldemo`, workspace `aml-<base>`, three silos in eastus, westus and
 * westeurope, the orchestrator in the first of the regions, Standard_DS4_v2, two nodes, public storage.
 * @throws FedradError where Azure would not take a name, a region or a size
 */
export function provisionPlan(options: PlanOptions = {}): ProvisionPlan {
  const { baseName = 'fldemo', regions = DEFAULT_REGIONS, silos = 3, gpuSize } = options;
  const given = {
    workspaceName: options.workspaceName ?? `aml-${baseName}`,
    baseName,
    orchestratorRegion: options.orchestratorRegion ?? regions[0],
    siloRegions: Array.from({ length: silos }, (_, silo) => regions[silo % regions.length]),
    vmSize: options.vmSize ?? 'Standard_DS4_v2',
    ...(gpuSize === undefined ? {} : { gpuSize }),
    maxNodes: options.maxNodes ?? 2,
    storage: options.storage ?? 'public',
  };
  const checked = planSchema.safeParse(given);
  if (checked.success) return checked.data;
  const { path, message } = checked.error.issues[0]!;
  const key = path[0] as keyof ProvisionPlan;
  const got = path.reduce<unknown>((value, step) => (value as Record<PropertyKey, unknown>)?.[step], given);
  return fail(OPTIONS[key], `${message}, got ${JSON.stringify(got)}`, `give another with ${OPTIONS[key]}`);
}

export interface AzureNames {
  readonly keyVault: string;
  /** The orchestrator's first. */
  readonly computes: readonly string[];
  readonly datastores: readonly string[];
  /** Storage account of each datastore. */
  readonly accounts: readonly string[];
}

/** What config.yaml and the other commands call the parts of a plan. */
export function azureNames({ baseName, siloRegions, gpuSize }: ProvisionPlan): AzureNames {
  const silos = siloRegions.map((_, silo) => `silo${silo}`);
  const account = `st${baseName.replaceAll('-', '')}`;
  return {
    keyVault: `kv-${baseName}`,
    computes: [
      'orchestrator-01',
      ...silos.flatMap((silo) => [`${silo}-01`, ...(gpuSize === undefined ? [] : [`${silo}-02`])]),
    ],
    datastores: ['datastore_orchestrator', ...silos.map((silo) => `datastore_${silo}`)],
    accounts: [`${account}orch`, ...silos.map((silo) => `${account}${silo}`)],
  };
}
