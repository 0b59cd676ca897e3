/** @file The files of a plan for who deploys without fedrad: `main.json` for the resource manager, `main.bicep` for the Bicep tools. */
import { armTemplate } from './arm-json.ts';
import { bicepText } from './bicep.ts';
import type { ProvisionPlan } from './plan.ts';
import { provisionTemplate } from './template.ts';

export function provisionFiles(plan: ProvisionPlan): Readonly<Record<'main.json' | 'main.bicep', string>> {
  const template = provisionTemplate(plan);
  return {
    'main.json': `${JSON.stringify(armTemplate(template), null, 2)}\n`,
    'main.bicep': bicepText(template, [
      'Made by fedrad provision --target azure --offline, with main.json beside it. Change the plan, not this file.',
    ]),
  };
}
