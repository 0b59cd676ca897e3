/** @file Entry of `fedrad-step`: the process of one step. It must not load anything that a hospital's step does not need. */
import type { Writable } from 'node:stream';
import { runStep } from '../components/index.ts';

/** Once all that was written is with the reader, or the reader is gone: a process that exits before loses what waits for a busy one. */
const flushed = (stream: Writable): Promise<void> =>
  new Promise((resolve) => {
    stream.once('error', () => resolve());
    stream.write('', () => resolve());
  });

const code = await runStep(process.argv.slice(2));
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// Standard input is still open to the parent and would keep the process alive.
process.exit(code);
