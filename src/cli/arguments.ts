/** @file Options as users of Azure ML type them. */
import type { Command } from 'commander';

/**
 * `--workspace_name` and `--workspace-name` are the same option. Only names of options are rewritten; a value that looks like
 * one stays as it is.
 */
export function dashedOptions(argv: readonly string[], root: Command): string[] {
  const known = new Set(longOptions(root));
  return argv.map((argument, index) => {
    const [name, ...value] = argument.split('=');
    const dashed = name!.replaceAll('_', '-');
    return known.has(dashed) && argv[index - 1] !== '--value' ? [dashed, ...value].join('=') : argument;
  });
}

const longOptions = (command: Command): string[] => [
  ...command.options.flatMap(({ long }) => long ?? []),
  ...command.commands.flatMap(longOptions),
];
