/** @file The table of commands. Each command's file adds itself; every command has an example in its help. */
import { Command } from 'commander';
import { packageVersion } from './package-version.ts';

/** The commands, by their first word. Each is loaded when it is asked for: all of them together take half a second, NATS and Azure included. */
const COMMANDS: Readonly<Record<string, (root: Command) => Promise<void>>> = {
  demo: async (root) => (await import('./demo.ts')).addDemoCommand(root),
  provision: async (root) => (await import('./workspace.ts')).addProvisionCommand(root),
  workspace: async (root) => (await import('./workspace.ts')).addWorkspaceCommands(root),
  account: async (root) => (await import('./account.ts')).addAccountCommands(root),
  keyvault: async (root) => (await import('./keyvault.ts')).addKeyVaultCommands(root),
  submit: async (root) => (await import('./submit.ts')).addSubmitCommands(root),
  run: async (root) => (await import('./run.ts')).addRunCommands(root),
  model: async (root) => (await import('./model.ts')).addModelCommands(root),
  agent: async (root) => (await import('./agent.ts')).addAgentCommands(root),
  orchestrator: addOrchestratorCommands,
  silo: async (root) => (await import('./silo.ts')).addSiloCommands(root),
};

/** fedrad with the commands that are among `words`; with all of them where none is, as for `--help`. */
export async function program(words: readonly string[] = []): Promise<Command> {
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
  const all = Object.entries(COMMANDS);
  const named = all.filter(([name]) => words.includes(name));
  for (const [, add] of named.length > 0 ? named : all) await add(root);
  inheritSettings(root);
  return root;
}

async function addOrchestratorCommands(root: Command): Promise<void> {
  const orchestrator = root
    .command('orchestrator')
    .description('the middle of a federation across hospitals: init, start')
    .addHelpText('after', '\nExample:\n  fedrad orchestrator init --url tls://hub.example.org:4222');
  (await import('./orchestrator-init.ts')).addOrchestratorInit(orchestrator);
  (await import('./orchestrator-start.ts')).addOrchestratorStart(orchestrator);
}

/** Commander copies settings only to commands made after they were set on their parent. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}
