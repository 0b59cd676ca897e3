/** @file Options as users of Azure ML type them. */
import type { Command } from 'commander';

/**
 * `--workspace_name` and `--workspace-name` are the same option. Only names of options are rewritten; a value that looks like
 * one stays as it is, and so does everything behind `--`, which is another program's.
 */
export function dashedOptions(argv: readonly string[], root: Command): string[] {
  const known = new Set(longOptions(root));
  const end = argv.indexOf('--');
  return argv.map((argument, index) => {
    if (end !== -1 && index > end) return argument;
    const [name, ...value] = argument.split('=');
    const dashed = name!.replaceAll('_', '-');
    return known.has(dashed) && argv[index - 1] !== '--value' ? [dashed, ...value].join('=') : argument;
  });
}

const longOptions = (command: Command): string[] => [
  ...command.options.flatMap(({ long }) => long ?? []),
  ...command.commands.flatMap(longOptions),
];
