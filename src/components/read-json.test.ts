import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { z } from 'zod';
import { FedradError } from '../base/index.ts';
import { readEarlyStopping } from './early-stopping.ts';
import { readEvaluations } from './evaluation-files.ts';
import { readJson } from './read-json.ts';
import { readUpdateNote } from './update-file.ts';

async function folder(context: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fedrad-json-'));
  context.after(() => rm(path, { recursive: true }));
  return path;
}

/** For assert.rejects: a one-line FedradError whose message matches, and is short. */
const oneLine = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FedradError, String(error));
  assert.match(error.message, pattern);
  assert.ok(!error.message.includes('\n') && error.message.length < 1000);
  return true;
};

test('what is no JSON, of another shape, too large or nested too deep is refused in one short line', async (context) => {
  const at = await folder(context);
  const path = join(at, 'value.json');
  const schema = z.strictObject({ count: z.int(), more: z.json().optional() });
  const read = async (text: string) => {
    await writeFile(path, text);
    return readJson(path, schema, 'it is not used');
  };
  assert.deepEqual(await read('{"count": 3}'), { count: 3 });
  assert.deepEqual(await read(`{"count": 3}${' '.repeat(2 ** 20 - 12)}`), { count: 3 });
  await assert.rejects(read(`{"count": 3}${' '.repeat(2 ** 20 - 11)}`), oneLine(/larger than 1048576 bytes/));
  await assert.rejects(read('{"count": secret'), oneLine(/value.json: not JSON \(it is not used\)$/));
  await assert.rejects(read('{"count": "3", "x": 1}'), oneLine(/expected .*count/));
  await assert.rejects(read(`{"count": 3, "${'x'.repeat(10_000)}": 1}`), oneLine(/Unrecognized key/));
  const depth = 200_000;
  const deep = `{"count": 3, "more": ${'['.repeat(depth)}${']'.repeat(depth)}}`;
  await assert.rejects(read(deep), oneLine(/nested too deep|not JSON/));
  await assert.rejects(readJson(join(at, 'none.json'), schema, 'x'), oneLine(/the file is missing/));
  await assert.rejects(readJson(at, schema, 'x'), oneLine(/cannot be read: EISDIR/));
});

test('what a hospital hands over is refused so too', async (context) => {
  const at = await folder(context);
  for (const text of ['{', '[]', '{"silo": 3}']) {
    for (const name of ['update.json', 'early-stopping.json', 'iteration_1.json'])
      await writeFile(join(at, name), text);
    await assert.rejects(readUpdateNote(at), oneLine(/the update is not used/));
    await assert.rejects(readEarlyStopping(at, 3), oneLine(/early-stopping.json: /));
    await assert.rejects(readEvaluations(at), oneLine(/the evaluation is not used/));
  }
});

test('training cannot have ended after an iteration that is still to come', async (context) => {
  const at = await folder(context);
  const write = (state: object) => writeFile(join(at, 'early-stopping.json'), JSON.stringify(state));
  const figures = { auroc: 0.9, logLoss: 0.3 };
  await write({ iterations: [figures, figures], stoppedAfter: 3 });
  assert.equal((await readEarlyStopping(at, 3)).stoppedAfter, 3);
  await assert.rejects(readEarlyStopping(at, 2), oneLine(/iteration 3.*of iteration 2/));
  await write({ iterations: [figures, figures, figures] });
  await assert.rejects(readEarlyStopping(at, 2), oneLine(/3 evaluations.*of iteration 2/));
});
