import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './program.ts';

const namesOf = async (...words: string[]): Promise<string[]> =>
  (await program(words)).commands.map((command) => command.name());

test('a command is loaded by its first word, alone; all are where none is named', async () => {
  const all = await namesOf('--help');
  assert.equal(all.length, 11);
  for (const name of all) assert.deepEqual(await namesOf('--home', 'h', name, 'x'), [name]);
  assert.deepEqual(await namesOf('agnet'), all);
  // A value that reads like a command.
  assert.deepEqual(await namesOf('--home', 'run', 'agent'), ['run', 'agent']);
});
