/** @file Options as users of Azure ML type them. */

/** `--workspace_name` and `--workspace-name` are the same option; values stay as they are. */
export const dashedOptions = (argv: readonly string[]): string[] => {
  const end = argv.indexOf('--');
  return argv.map((argument, index) => {
    if (!/^--[a-z]/.test(argument) || (end >= 0 && index > end)) return argument;
    const [name, ...value] = argument.split('=');
    return [name!.replaceAll('_', '-'), ...value].join('=');
  });
};
