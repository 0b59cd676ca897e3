/** @file Entry of `fedrad`: commands, and one line for every error that a user can mend. */
import { CommanderError } from 'commander';
import { FedradError } from '../base/index.ts';
import { dashedOptions } from './arguments.ts';
import { program } from './program.ts';

/** What a failed command left open, a connection for instance, may keep the process alive no longer; a service is to be started again. */
const LINGER_MS = 5000;

// Whoever reads has seen enough (`fedrad run logs | head`). The work goes on: an orchestrator whose log nobody takes any more is still needed.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  const root = await program(process.argv.slice(2));
  await root.parseAsync(dashedOptions(process.argv, root));
} catch (error) {
  // Commander has already said what is wrong.
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else {
    if (error instanceof FedradError) console.error(`fedrad: ${error.message}`);
    else console.error('fedrad: a defect, please report it:', error);
    process.exitCode = 1;
  }
  setTimeout(() => process.exit(), LINGER_MS).unref();
}
