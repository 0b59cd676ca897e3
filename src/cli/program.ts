/** @file The table of commands. Each command's file adds itself; every command has an example in its help. */
import { Command } from 'commander';
import { addAccountCommands } from './account.ts';
import { addAgentCommands } from './agent.ts';
import { addDemoCommand } from './demo.ts';
import { addKeyVaultCommands } from './keyvault.ts';
import { addModelCommands } from './model.ts';
import { addOrchestratorInit } from './orchestrator-init.ts';
import { addOrchestratorStart } from './orchestrator-start.ts';
import { packageVersion } from './package-version.ts';
import { addRunCommands } from './run.ts';
import { addSiloCommands } from './silo.ts';
import { addSubmitCommands } from './submit.ts';
import { addWorkspaceCommands } from './workspace.ts';

/** All commands of fedrad. */
export function program(): Command {
  const root = new Command('fedrad')
    .description(
      'Federated learning for medical images: hospitals train one model together, their radiographs stay at home.',
    )
    .version(packageVersion)
    .option('--home <folder>', 'where workspaces and runs are kept (default: FEDRAD_HOME, or .fedrad in this folder)')
    .showSuggestionAfterError()
    .showHelpAfterError('(--help shows the options and an example)')
    .exitOverride()
    .addHelpText(
      'after',
      `
Example:
  fedrad demo                                   the whole path on synthetic images, about a minute
  fedrad provision                              a workspace with three hospitals on this machine
  fedrad submit upload-data --example PNEUMONIA --workspace_name aml-fldemo --wait
  fedrad submit pneumonia --workspace_name aml-fldemo --wait
  fedrad run report                             the evidence of the last run`,
    );
  addDemoCommand(root);
  addWorkspaceCommands(root);
  addAccountCommands(root);
  addKeyVaultCommands(root);
  addSubmitCommands(root);
  addRunCommands(root);
  addModelCommands(root);
  addAgentCommands(root);
  const orchestrator = root
    .command('orchestrator')
    .description('the middle of a federation across hospitals: init, start')
    .addHelpText('after', '\nExample:\n  fedrad orchestrator init --url tls://hub.example.org:4222');
  addOrchestratorInit(orchestrator);
  addOrchestratorStart(orchestrator);
  addSiloCommands(root);
  inheritSettings(root);
  return root;
}

/** Commander copies settings only to commands made after they were set on their parent. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}
