/**
 * @file What Azure says when a resource cannot be made, with what to do about it. From the published list of deployment errors; a code that
 * is not here keeps Azure's words.
 */

/** A resource that Azure would not make. */
export interface ResourceProblem {
  readonly type: string;
  readonly name: string;
  readonly code: string;
  /** Azure's words, on one line. */
  readonly message: string;
  readonly remedy: string;
}

/** As Azure gives it, in answers and in operations of a deployment. */
export interface AzureError {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly target?: string | undefined;
  readonly details?: readonly AzureError[] | undefined;
}

export interface Place {
  readonly subscriptionId: string;
  readonly resourceGroup: string;
}

const MAX_MESSAGE = 400;
const MAX_DEPTH = 8;

/** The errors inside an error that have none inside themselves; some are JSON in the message of another. */
export function innermost(error: AzureError, depth = 0): readonly AzureError[] {
  const inner = depth < MAX_DEPTH ? [...(error.details ?? []), ...fromMessage(error.message)] : [];
  return inner.length === 0 ? [error] : inner.flatMap((each) => innermost(each, depth + 1));
}

function fromMessage(message: string | undefined): readonly AzureError[] {
  if (!message?.trimStart().startsWith('{')) return [];
  try {
    const { error } = JSON.parse(message) as { error?: AzureError };
    return typeof error === 'object' && error !== null ? [error] : [];
  } catch {
    return []; // A message that only begins like JSON is text.
  }
}

/** @param id the resource's own, where Azure says which it is */
export function resourceProblem(
  { type, name, id }: Pick<ResourceProblem, 'type' | 'name'> & { readonly id?: string },
  error: AzureError,
  place: Place,
): ResourceProblem {
  const { code = 'Unknown', message = '' } = error;
  const text = message.replaceAll(/\s+/g, ' ').slice(0, MAX_MESSAGE);
  return { type, name, code, message: text, remedy: remedyFor({ type, name, code, message: text }, place, id) };
}

function remedyFor(
  { type, name, code, message }: Omit<ResourceProblem, 'remedy'>,
  place: Place,
  id = '<its id>',
): string {
  const short = name.split('/').at(-1) ?? name;
  const group = `/subscriptions/${place.subscriptionId}/resourceGroups/${place.resourceGroup}`;
  if (/deleted state|soft.?deleted|recover or purge|purge or recover/i.test(message)) {
    return type.startsWith('Microsoft.MachineLearningServices')
      ? `az ml workspace delete --name ${short} --resource-group ${place.resourceGroup} --permanently-delete, or recover it in the portal`
      : `az keyvault recover --name ${short}, or az keyvault purge --name ${short}`;
  }
  if (/quota/i.test(code) || /\bquota\b/i.test(message))
    return 'ask for more under Quotas in the portal (az ml compute list-usage), or choose another --vm-size, --gpu-size, --max-nodes or --regions';
  if (
    /AuthorizationFailed/.test(code) ||
    /authorization failed|does not have (permission|authorization)/i.test(message)
  ) {
    // Contributors may make everything but role assignments.
    return /roleAssignments/i.test(message + type)
      ? `an owner gives you the role: az role assignment create --role Owner --assignee <your object id> --scope ${group}`
      : `an owner gives you the role: az role assignment create --role Contributor --assignee <your object id> --scope ${group}`;
  }
  if (/VaultAlreadyExists/.test(code))
    return `az keyvault list-deleted may show ${short}; else give another --demo_base_name`;
  if (/AlreadyTaken|AlreadyInUse|NameUnavailable|NameNotAvailable/.test(code))
    return 'the name is taken somewhere in Azure: give another --demo_base_name';
  if (/MissingSubscriptionRegistration|NoRegisteredProviderFound/.test(code))
    return `az provider register --namespace ${type.split('/')[0]}`;
  if (/SkuNotAvailable|VMSize|VmSize/.test(code))
    return 'choose another --vm-size or --gpu-size (az vm list-skus --location <region>)';
  if (/LocationNotAvailable|LocationNotSupported/.test(code)) return 'choose other --regions or --orchestrator-region';
  if (/InvalidResourceLocation/.test(code))
    return 'it exists in another region: give the --regions and --orchestrator-region it was made with, or delete it';
  if (/RequestDisallowedByPolicy/.test(code)) return 'a policy of the subscription forbids it: ask its administrators';
  if (/DeploymentActive/.test(code))
    return 'another deployment of the same name runs: wait for it, then run this again';
  // The assignment is named by the identity's name; that of an identity that is gone stays, and is for nobody.
  if (/RoleAssignmentUpdateNotPermitted/.test(code))
    return `its identity was deleted and made anew, and the role is still the old one's: az role assignment delete --ids ${id}, then run this again`;
  if (/RoleAssignmentExists/.test(code))
    return 'the same role was given by hand: az role assignment delete, then run this again';
  if (/PrincipalNotFound|Conflict|AnotherOperationInProgress|RetryableError/.test(code))
    return 'Azure was not ready: run this again in some minutes';
  return 'mend it, then run this again: what was made stays';
}
