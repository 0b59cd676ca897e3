/**
 * @file `npm run chaos -- [--faults 200] [--seed 1] [--json] [--minutes 60] [--data <chest_xray/train>] [--folder <folder>]`: the chaos suite. Progress on
 * standard error, the result on standard output; ends with 1 when a fault was not survived, an update was lost or a bit is wrong.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { skipWithoutNats } from '../../src/messaging/testing.ts';
import { openCleanup } from '../hospitals/tool.ts';
import { type ChaosOptions, chaos, defect, sentence } from './chaos.ts';

const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '60' },
    data: { type: 'string' },
    /** Kept at the end; default: a temporary one. */
    folder: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

/** A model of 16 MB, so that transfers last; trained in seconds. */
const PHANTOMS: Pick<ChaosOptions, 'source' | 'training'> = {
  source: 'phantom:24',
  training: '  image_size: 64\n  channels: [16]\n  hidden: 256\n',
};
/** The example's experiment with one epoch a round, at half the images' width with half the channels: minutes instead of an hour. */
const real = (folder: string): Pick<ChaosOptions, 'source' | 'imports' | 'training'> => ({
  imports: resolve(folder),
  source: `folder:${resolve(folder)}`,
  training: '  image_size: 112\n  channels: [16, 32, 64]\n  hidden: 128\n',
});

const whole = (name: 'faults' | 'seed' | 'minutes'): number => {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new Error(`--${name}: expected a whole number, got ${values[name]}`);
};

const cleanup = openCleanup();
try {
  if (skipWithoutNats) throw new Error(`${skipWithoutNats} (Debian: apt install nats-server)`);
  const folder = values.folder === undefined ? mkdtempSync(join(tmpdir(), 'fedrad-chaos-')) : resolve(values.folder);
  if (values.folder === undefined) cleanup.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const result = await chaos(cleanup, {
    ...{ folder, faults: whole('faults'), seed: whole('seed'), minutes: whole('minutes') },
    ...(values.data === undefined ? PHANTOMS : real(values.data)),
    note: (text) => console.error(text),
  });
  console.log(values.json ? JSON.stringify(result) : sentence(result));
  const { faults, survived, lost_updates, model_hash, reference_hash } = result;
  if (survived < faults || lost_updates > 0 || model_hash !== reference_hash) process.exitCode = 1;
} catch (error) {
  console.error(defect(error));
  process.exitCode = 1;
} finally {
  await cleanup.undo();
}
