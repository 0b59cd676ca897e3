/** @file Holds the models that were fetched of a run against its evidence. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FedradError, fail } from '../base/index.ts';
import { evidenceSchema, MODEL_FILE } from '../components/index.ts';
import { hashContent } from '../workspace/index.ts';

/**
 * The models in `outputs` are those whose SHA-256 the evidence beside them names. What the run's last step hands to Azure ML has no other
 * hash, so this is what shows that another file came, or a part of one.
 */
export async function checkEvidence(outputs: string): Promise<void> {
  const file = join(outputs, 'evidence', 'evidence.json');
  const { files } = await readEvidence(file);
  for (const which of ['best', 'last'] as const) {
    const expected = files?.[which];
    if (expected === undefined) continue;
    const model = join(outputs, `${which}_model`, MODEL_FILE);
    const { sha256 } = await hashContent(model).catch((cause: unknown) => {
      if (cause instanceof FedradError) throw cause;
      return fail(model, 'the evidence names it, and it was not fetched', 'look at what lies in the datastore', cause);
    });
    if (sha256 === expected) continue;
    fail(model, `SHA-256 ${sha256}, and the evidence names ${expected}`, 'look at who else writes into the datastore');
  }
}

async function readEvidence(file: string) {
  try {
    return evidenceSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    return fail(file, 'it is not the evidence of a run', 'look at what lies in the datastore', cause);
  }
}
