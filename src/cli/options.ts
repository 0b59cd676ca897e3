/** @file Options that several commands share. */
import { type Command, InvalidArgumentError } from 'commander';
import { fail } from '../base/index.ts';
import type { WorkspaceName } from '../workspace/index.ts';

export interface NamedWorkspace {
  readonly workspaceName?: string;
  readonly resourceGroup?: string;
  readonly subscriptionId?: string;
}

/** The Azure ML example's three options that name a workspace. */
export const workspaceOptions = (command: Command): Command =>
  command
    .option(
      '--workspace-name <name>',
      'workspace (also --workspace_name; default: aml-fldemo, or the only one there is)',
    )
    .option('--resource-group <name>', 'resource group (also --resource_group)')
    .option('--subscription-id <id>', 'subscription (also --subscription_id)');

/** The workspace that the options name; what was not given stays out. */
export const workspaceName = ({
  workspaceName: name,
  resourceGroup,
  subscriptionId,
}: NamedWorkspace): WorkspaceName => ({
  ...(name === undefined ? {} : { workspaceName: name }),
  ...(resourceGroup === undefined ? {} : { resourceGroup }),
  ...(subscriptionId === undefined ? {} : { subscriptionId }),
});

/** Azure's ids of subscriptions are UUIDs; a workspace of this home may record any words. */
export const isSubscriptionId = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

/** Reads an integer option in a range. */
export const integerOption =
  (low: number, high: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < low || value > high) {
      throw new InvalidArgumentError(`expected an integer from ${low} to ${high}.`);
    }
    return value;
  };

/** The arguments of a command's `option`: a probability, by default the model's own. */
export const thresholdOption: [flags: string, description: string, parse: (text: string) => number] = [
  '--threshold <p>',
  "a score from here on counts as pneumonia (default: the model's own, else 0.5)",
  probability,
];

function probability(text: string): number {
  const value = Number(text);
  return text.trim() !== '' && value >= 0 && value <= 1
    ? value
    : fail('--threshold', `expected a number from 0 to 1, got "${text}"`, 'for example 0.5');
}
