/**
 * @file What a workspace is made of, as `provision` writes it down: an orchestrator and silos, each a compute with an
 * identity and a datastore, and a key vault. Pure.
 */
import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { VaultPolicy } from './key-vault.ts';

const computeSchema = z
  .strictObject({
    name: z.string(),
    role: z.enum(['orchestrator', 'silo']),
    region: z.string(),
    /** Object id of the compute's own identity: who it is to the key vault. */
    identity: z.uuid(),
    /** Datastores it may touch. A silo's steps also write models to the orchestrator's. */
    datastores: z.array(z.string()).readonly(),
  })
  .readonly();

export const workspaceDescriptionSchema = z
  .strictObject({
    workspaceName: z.string(),
    /** Recorded only if given to provision; the local sandbox has no use for them. */
    resourceGroup: z.string().exactOptional(),
    subscriptionId: z.string().exactOptional(),
    demoBaseName: z.string(),
    regions: z.array(z.string()).min(1).readonly(),
    /** The orchestrator first, then the silos in order. */
    computes: z.array(computeSchema).min(2).readonly(),
    datastores: z.array(z.strictObject({ name: z.string(), region: z.string() }).readonly()).readonly(),
    keyVault: z.string(),
  })
  .readonly();

export type Compute = z.infer<typeof computeSchema>;
export type WorkspaceDescription = z.infer<typeof workspaceDescriptionSchema>;

/** The seed's three sandbox regions. */
export const DEFAULT_REGIONS: readonly string[] = ['eastus', 'westus', 'westeurope'];

const ORCHESTRATOR_DATASTORE = 'datastore_orchestrator';

export interface WorkspacePlan {
  readonly workspaceName: string;
  readonly resourceGroup?: string;
  readonly subscriptionId?: string;
  readonly demoBaseName: string;
  /** Regions of the silos in turn, beginning again when there are more silos; the orchestrator is in the first. */
  readonly regions: readonly string[];
  readonly siloCount: number;
}

/** The description of a planned workspace; `newIdentity` gives each compute its object id. */
export function describeWorkspace(plan: WorkspacePlan, newIdentity: () => string): WorkspaceDescription {
  checkPlan(plan);
  const { siloCount, regions, ...names } = plan;
  const silos = Array.from({ length: siloCount }, (_, silo) => ({
    compute: `silo${silo}-01`,
    datastore: `datastore_silo${silo}`,
    region: regions[silo % regions.length]!,
  }));
  return {
    ...names,
    regions,
    computes: [
      {
        name: 'orchestrator-01',
        role: 'orchestrator',
        region: regions[0]!,
        identity: newIdentity(),
        datastores: [ORCHESTRATOR_DATASTORE],
      },
      ...silos.map(({ compute, datastore, region }) => ({
        name: compute,
        role: 'silo' as const,
        region,
        identity: newIdentity(),
        datastores: [datastore, ORCHESTRATOR_DATASTORE],
      })),
    ],
    datastores: [
      { name: ORCHESTRATOR_DATASTORE, region: regions[0]! },
      ...silos.map(({ datastore, region }) => ({ name: datastore, region })),
    ],
    keyVault: `kv-${plan.demoBaseName}`,
  };
}

/** Who may use a fresh key vault: silos read the data source's credentials; the orchestrator and the user nothing. */
export const initialPolicies = ({ computes }: WorkspaceDescription): readonly VaultPolicy[] =>
  computes
    .filter(({ role }) => role === 'silo')
    .map(({ identity }) => ({ objectId: identity, secretPermissions: ['get', 'list'] }));

function checkPlan({ workspaceName, demoBaseName, regions, siloCount }: WorkspacePlan): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{2,32}$/.test(workspaceName)) {
    fail(
      'workspace name',
      `expected 3 to 33 letters, digits, hyphens and underscores, got ${JSON.stringify(workspaceName)}`,
      'choose another with --workspace_name',
    );
  }
  // The vault's name is kv-<base>, and Azure allows it 24 characters.
  if (!/^[A-Za-z0-9](-?[A-Za-z0-9]){0,20}$/.test(demoBaseName) || demoBaseName.length > 21) {
    fail(
      'demo base name',
      `expected 1 to 21 letters, digits and single hyphens, got ${JSON.stringify(demoBaseName)}`,
      'choose another with --demo_base_name',
    );
  }
  if (!Number.isInteger(siloCount) || siloCount < 1 || siloCount > 100) {
    fail('silo count', `expected a whole number from 1 to 100, got ${siloCount}`, 'give another with --silos');
  }
  const badRegion = regions.find((region) => !/^[a-z0-9]+$/.test(region));
  if (regions.length === 0 || badRegion !== undefined) {
    const got = badRegion === undefined ? 'none' : JSON.stringify(badRegion);
    fail('regions', `expected names such as westeurope, got ${got}`, 'give others with --regions');
  }
}
