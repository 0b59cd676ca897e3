/** @file Entry of `fedrad-step`: the process of one step. It must not load anything that a hospital's step does not need. */
import { runStep } from '../components/index.ts';

const code = await runStep(process.argv.slice(2));
// Standard input is still open to the parent and would keep the process alive.
process.exit(code);
