/**
 * @file `npm run parity`: one small federation on every backend. Prints a line for each, and ends with 1 when their models differ. A backend
 * whose program is missing here is named on standard error and left out.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/base/index.ts';
import { openCleanup } from '../hospitals/tool.ts';
import { parity } from './parity.ts';

const HELP = `One small federation on every backend: the model must be the same, bit for bit.

  npm run parity -- --json

  --json   a line for each backend: {"backend","model_hash"}
  --help   this text`;

async function main(json: boolean): Promise<void> {
  const cleanup = openCleanup();
  const hashes = new Set<string>();
  try {
    for await (const line of parity(cleanup)) {
      if ('missing' in line) {
        console.error(`parity: left out ${line.missing}`);
        continue;
      }
      hashes.add(line.model_hash);
      console.log(json ? JSON.stringify(line) : `${line.backend.padEnd(10)} ${line.model_hash}`);
    }
  } finally {
    await cleanup.undo();
  }
  if (hashes.size !== 1) throw new Error(`expected one model, got ${hashes.size}`);
}

try {
  const { values } = parseArgs({ options: { json: { type: 'boolean' }, help: { type: 'boolean' } } });
  if (values.help) console.log(HELP);
  else await main(values.json ?? false);
} catch (error) {
  console.error(`parity: ${messageOf(error)}`);
  process.exitCode = 1;
}
