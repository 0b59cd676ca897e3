/** @file The parameters of the template, with the plan's values as their defaults: names, regions and sizes can be changed without fedrad. */
import { item, type Parameter, parameter, text, withoutHyphens } from './expressions.ts';
import type { ProvisionPlan } from './plan.ts';

export const baseName = parameter('demoBaseName');
/** Of storage accounts and registries, whose names have no hyphens. */
export const bareBaseName = withoutHyphens(baseName);
export const workspaceName = parameter('workspaceName');
export const orchestratorRegion = parameter('orchestratorRegion');
export const siloRegion = (silo: number) => item(parameter('siloRegions'), silo);
export const vmSize = parameter('vmSize');
export const gpuSize = parameter('gpuSize');
export const keyVaultPolicies = parameter('keyVaultPolicies');
export const based = (prefix: string) => text(prefix, baseName);

export function parametersOf(plan: ProvisionPlan): Readonly<Record<string, Parameter>> {
  const silos = plan.siloRegions.length;
  return {
    demoBaseName: {
      type: 'string',
      description: 'Base of the names; those of storage accounts and key vaults are taken once in all of Azure.',
      default: plan.baseName,
      minLength: 3,
      maxLength: 16,
    },
    workspaceName: {
      type: 'string',
      description: 'Name of the Azure ML workspace.',
      default: plan.workspaceName,
      minLength: 3,
      maxLength: 33,
    },
    orchestratorRegion: {
      type: 'string',
      description: 'Region of the workspace and the orchestrator.',
      default: plan.orchestratorRegion,
    },
    siloRegions: {
      type: 'array',
      description: `Region of each of the ${silos} silos.`,
      default: plan.siloRegions,
      minLength: silos,
      maxLength: silos,
    },
    vmSize: { type: 'string', description: 'VM size of the compute clusters.', default: plan.vmSize },
    ...(plan.gpuSize === undefined
      ? {}
      : {
          gpuSize: {
            type: 'string',
            description: 'VM size of the second cluster of each silo.',
            default: plan.gpuSize,
          } as const,
        }),
    keyVaultPolicies: {
      type: 'array',
      description:
        'Access policies that an existing key vault has and shall keep: a deployment replaces all others. fedrad provision fills it in.',
      default: [],
    },
  };
}
