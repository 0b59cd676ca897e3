/**
 * @file The template of a plan: everything that `fedrad provision --target azure` makes, as a value. Pure; arm-json.ts and bicep.ts write it.
 *
 * Who may do what: a silo's identity reads and writes its own storage and the orchestrator's, and reads the key vault's secrets; the
 * orchestrator's identity reads and writes its own storage. Nobody else is given anything. The signed-in user needs a role of his own to
 * read results.
 */
import { evaluateText, type Resource, type Template } from './expressions.ts';
import { blobZone, peerings, privateEndpoint, siteNetwork } from './network-resources.ts';
import { parametersOf } from './parameters.ts';
import type { ProvisionPlan } from './plan.ts';
import { blobRole, type SiteResources, siteResources, sitesOf } from './site-resources.ts';
import { vaultAccess, workspaceResources } from './workspace-resources.ts';

export function provisionTemplate(plan: ProvisionPlan): Template {
  const base = workspaceResources();
  const sites = sitesOf(plan);
  const zone = plan.storage === 'public' ? undefined : blobZone();
  const networks = zone ? sites.map((site) => siteNetwork(site, zone)) : [];
  const parts = sites.map((site, index) => siteResources(plan, site, base.workspace, networks[index]?.computes));
  const [orchestrator, ...silos] = parts as [SiteResources, ...SiteResources[]];
  const resources: Resource[] = [...base.all];
  if (zone) resources.push(zone, ...networks.flatMap(({ all }) => all));
  resources.push(...parts.flatMap(({ all }) => all));
  resources.push(
    ...silos.map(({ identity }, silo) => blobRole(identity, orchestrator.storage, `silo${silo}SharedRole`)),
  );
  resources.push(
    vaultAccess(
      base,
      silos.map(({ identity }) => identity),
    ),
  );
  const endpoints: Resource[] = [];
  for (const [index, site] of sites.entries())
    if (zone && site.private) endpoints.push(...privateEndpoint(site, parts[index]!.storage, networks[index]!, zone));
  resources.push(...endpoints);
  if (zone && sites[0].private) resources.push(...peerings(sites, networks, endpoints));
  return {
    parameters: parametersOf(plan),
    resources,
    outputs: {
      amlWorkspaceName: base.workspace.name[0]!,
      keyVaultName: base.vault.name[0]!,
      orchestratorStorage: orchestrator.storage.name[0]!,
    },
  };
}

export interface PlannedResource {
  readonly type: string;
  /** With those of its parents, by slashes; empty where only Azure can compute it. */
  readonly name: string;
}

/** What a template makes, by the values of its defaults. */
export function plannedResources({ resources, parameters }: Template): readonly PlannedResource[] {
  const values = Object.fromEntries(Object.entries(parameters).map(([name, { default: value }]) => [name, value]));
  return resources.map(({ type, name }) => ({
    type,
    name:
      type === 'Microsoft.Authorization/roleAssignments'
        ? ''
        : name.map((each) => evaluateText(each, values)).join('/'),
  }));
}
