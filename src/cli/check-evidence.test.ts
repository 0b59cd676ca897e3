import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sha256 } from '../base/index.ts';
import { checkEvidence } from './check-evidence.ts';

test('fetched models are those that the evidence names: another one, none, and no evidence are refused', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-evidence-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const put = async (name: string, text: string): Promise<void> => {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), text);
  };
  const evidence = (files?: object): Promise<void> => {
    const best = 'iteration_1';
    const words = { version: 1, iterations: [], best, bestBy: 'loss', last: best, comparisons: [] };
    return put('evidence/evidence.json', JSON.stringify({ ...words, ...(files ? { files } : {}) }));
  };
  await put('evidence/evidence.json', '<html>');
  await assert.rejects(checkEvidence(folder), /evidence\.json: it is not the evidence of a run/);
  await evidence({ best: sha256('best'), last: sha256('last') });
  await assert.rejects(checkEvidence(folder), /best_model.model\.safetensors: the evidence names it, and it was not/);
  await put('best_model/model.safetensors', 'best');
  await put('last_model/model.safetensors', 'last, cut');
  await assert.rejects(
    checkEvidence(folder),
    /last_model.model\.safetensors: SHA-256 [0-9a-f]{64}, and the evidence names [0-9a-f]{64}/,
  );
  await put('last_model/model.safetensors', 'last');
  await checkEvidence(folder);
  // Of a fedrad that named none.
  await evidence();
  await checkEvidence(folder);
});
