/**
 * @file Makes a plan on Azure: the resource group where there is none, then one deployment of the template, followed resource by resource. A
 * second run finds what is there and changes only what is not as planned; nothing is ever deleted. Azure carries a deployment on by itself:
 * whoever stops looking has not stopped it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FedradError, fail } from '../../base/index.ts';
import { armTemplate } from './arm-json.ts';
import { azureNames, type ProvisionPlan } from './plan.ts';
import { type AzureError, innermost, type ResourceProblem, resourceProblem } from './remedies.ts';
import { type Manager, type ManagerOptions, OVER, openManager, type PlannedChange } from './resource-manager.ts';
import { type PlannedResource, plannedResources, provisionTemplate } from './template.ts';

export type DeployEvent =
  | { readonly kind: 'group-made'; readonly region: string }
  | { readonly kind: 'registered'; readonly namespace: string }
  /** An earlier run's deployment goes on; it is followed to its end first. */
  | { readonly kind: 'joined'; readonly deployment: string }
  /** That one ended badly, and each of its problems was told; it may have been of another plan. */
  | { readonly kind: 'earlier-failed'; readonly error: FedradError }
  | {
      readonly kind: 'resource';
      readonly type: string;
      readonly name: string;
      readonly done: number;
      readonly total: number;
    }
  | { readonly kind: 'problem'; readonly problem: ResourceProblem }
  /** Azure could not be asked; it is asked again. */
  | { readonly kind: 'patience'; readonly error: FedradError };

export interface DeployOptions extends ManagerOptions {
  readonly plan: ProvisionPlan;
  readonly onEvent: (event: DeployEvent) => void;
  /** Before the deployment is sent nothing is started; after that it ends the looking alone. */
  readonly signal: AbortSignal;
}

export interface Deployed {
  /** The latter two where `signal` came. */
  readonly outcome: 'finished' | 'goes on' | 'not started';
  readonly deployment: string;
  /** What Azure reported as made or found as planned. */
  readonly resources: readonly PlannedResource[];
}

const FIRST_LOOK_MS = 1_000;
const LONGEST_MS = 2 * 3_600_000;
const PROBLEMS_IN_A_ROW = 10;

/** One for each base name: two runs at once are refused by Azure instead of getting in each other's way. */
export const deploymentName = ({ baseName }: ProvisionPlan): string => `fedrad-${baseName}`;

/** @throws FedradError where Azure refuses the plan or a resource fails; each has been told as an event before */
export async function deployPlan(options: DeployOptions): Promise<Deployed> {
  const { plan, onEvent, resourceGroup, signal } = options;
  const manager = await openManager(options);
  const template = provisionTemplate(plan);
  const deployment = deploymentName(plan);
  const total = template.resources.length;
  const body = armTemplate(template);
  let refused: AzureError | undefined;
  let parameters: { keyVaultPolicies: Awaited<ReturnType<Manager['vaultPolicies']>> };
  try {
    if ((await manager.groupRegion()) === undefined) {
      signal.throwIfAborted();
      await manager.makeGroup(plan.orchestratorRegion);
      onEvent({ kind: 'group-made', region: plan.orchestratorRegion });
    }
    if (await manager.isActive(deployment)) {
      onEvent({ kind: 'joined', deployment });
      const earlier = await follow(manager, deployment, total, options).catch((error: unknown) => {
        if (!(error instanceof Over)) throw error;
        onEvent({ kind: 'earlier-failed', error });
        return undefined;
      });
      if (earlier?.outcome === 'goes on') return earlier;
    }
    const namespaces = [...new Set(template.resources.map(({ type }) => type.split('/')[0]!))];
    for (const namespace of await manager.registerProviders(namespaces)) onEvent({ kind: 'registered', namespace });
    parameters = { keyVaultPolicies: await manager.vaultPolicies(azureNames(plan).keyVault) };
    refused = await manager.validate(deployment, body, parameters);
    signal.throwIfAborted();
  } catch (error) {
    if (!signal.aborted) throw error;
    return { outcome: 'not started', deployment, resources: [] };
  }
  // From here on Azure may have it.
  refused ??= await manager.start(deployment, body, parameters);
  if (refused) throw tell(problemsOf(refused, options), `resource group ${resourceGroup}`, options);
  return follow(manager, deployment, total, options);
}

async function follow(manager: Manager, deployment: string, total: number, options: DeployOptions): Promise<Deployed> {
  const { signal, onEvent, lookMs = 5_000 } = options;
  const made = new Map<string, PlannedResource>();
  const goesOn = (): Deployed => ({ outcome: 'goes on', deployment, resources: [...made.values()] });
  const end = performance.now() + LONGEST_MS;
  let failures = 0;
  let pauseMs = Math.min(FIRST_LOOK_MS, lookMs);
  for (;;) {
    try {
      // The state first: operations read after it are complete once it is over.
      const { state, error } = await manager.state(deployment);
      const operations = await manager.operations(deployment);
      failures = 0;
      for (const { id, type, state: each } of operations) {
        if (each !== 'Succeeded' || made.has(id)) continue;
        const resource = { type, name: shownName(id) };
        made.set(id, resource);
        onEvent({ kind: 'resource', ...resource, done: made.size, total });
      }
      const resources = [...made.values()];
      if (state === 'Succeeded') return { outcome: 'finished', deployment, resources };
      if (OVER.has(state)) {
        const failed = operations.filter((each) => each.state === 'Failed');
        const problems = failed.flatMap((each) =>
          innermost(each.error ?? {}).map((inner) =>
            resourceProblem({ type: each.type, name: shownName(each.id), id: each.id }, inner, options),
          ),
        );
        const found = problems.length > 0 ? problems : problemsOf(error ?? { code: state }, options);
        throw tell(found, `deployment ${deployment}`, options);
      }
    } catch (error) {
      // A look that was broken off says nothing of Azure.
      if (signal.aborted && !(error instanceof Over)) return goesOn();
      const again = error instanceof FedradError && !(error instanceof Over) && !/sign-in/.test(error.problem);
      failures += 1;
      if (!again || failures >= PROBLEMS_IN_A_ROW) throw goingOn(error, deployment);
      onEvent({ kind: 'patience', error });
    }
    if (performance.now() > end)
      fail(`deployment ${deployment}`, 'it is not over after two hours', 'look at it in the portal; run this again');
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return goesOn();
    pauseMs = Math.min(lookMs, pauseMs * 1.3);
  }
}

/** Only the looking has ended, unless the deployment is over or it is a defect. */
function goingOn(error: unknown, deployment: string): unknown {
  if (!(error instanceof FedradError) || error instanceof Over) return error;
  return new FedradError({
    where: error.where,
    problem: `${error.problem}; deployment ${deployment} goes on at Azure`,
    remedy: `${error.remedy ?? 'mend it'}; then run the same command again to follow it`,
    cause: error,
  });
}

/** The deployment itself is over; asking again would say the same. */
class Over extends FedradError {}

/** Tells each problem; gives the error that ends the command. */
function tell(problems: readonly ResourceProblem[], where: string, { onEvent }: DeployOptions): FedradError {
  for (const problem of problems) onEvent({ kind: 'problem', problem });
  const [first] = problems;
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  return new Over({
    where,
    problem: `Azure would not make all of it, ${count}: ${first?.name || where}: ${first?.code}`,
    remedy: first?.remedy ?? 'run this again',
  });
}

/** Of an error that no operation tells: its target is the resource, where it has one. */
const problemsOf = (error: AzureError, options: DeployOptions): ResourceProblem[] =>
  innermost(error).map((inner) => {
    const resource = resourceNamed(inner.target ?? '') ?? resourceNamed(inner.message ?? '') ?? NOTHING;
    return resourceProblem(resource, inner, options);
  });

const NOTHING: PlannedResource = { type: '', name: '' };

/** The resource of an id, or of one inside a sentence. */
function resourceNamed(text: string): PlannedResource | undefined {
  const id = /\/subscriptions\/[^\s'"]+\/providers\/[^\s'"]+/.exec(text)?.[0];
  if (id !== undefined) {
    const [, namespace, ...rest] = id.slice(id.lastIndexOf('/providers/')).split('/').slice(1);
    return { type: [namespace, ...rest.filter((_, index) => index % 2 === 0)].join('/'), name: shownName(id) };
  }
  return undefined;
}

/** The names in an id, by slashes; a role assignment, whose name says nothing, by what it is on. */
export function shownName(id: string): string {
  const parts = id.split('/providers/');
  const names = (part: string | undefined): string =>
    (part ?? '')
      .split('/')
      .slice(2)
      .filter((_, index) => index % 2 === 0)
      .join('/');
  const last = parts.at(-1) ?? '';
  return /^Microsoft\.Authorization\//i.test(last) ? `role on ${names(parts.at(-2))}` : names(last);
}

export interface WhatIf {
  /** False: the group would be made first, and everything in it. */
  readonly groupExists: boolean;
  readonly changes: readonly (PlannedResource & Omit<PlannedChange, 'id'>)[];
}

/** What a deployment would change; makes nothing. */
export async function whatIfPlan(options: Omit<DeployOptions, 'onEvent' | 'signal'>): Promise<WhatIf> {
  const { plan } = options;
  const manager = await openManager(options);
  const template = provisionTemplate(plan);
  // Azure compares inside a group only; in a new one there is nothing to compare with.
  if ((await manager.groupRegion()) === undefined) {
    const changes = plannedResources(template).map((each) => ({ ...each, change: 'Create', properties: [] }));
    return { groupExists: false, changes };
  }
  const parameters = { keyVaultPolicies: await manager.vaultPolicies(azureNames(plan).keyVault) };
  const found = await manager.whatIf(deploymentName(plan), armTemplate(template), parameters);
  return {
    groupExists: true,
    changes: found.map(({ id, ...change }) => ({ ...(resourceNamed(id) ?? { type: '', name: id }), ...change })),
  };
}
