/** @file Reads a secret without showing it: typed on a terminal, or from standard input. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fail } from '../base/index.ts';

/** The answer to the question, typed unseen. */
async function promptHidden(question: string): Promise<string> {
  process.stderr.write(question);
  // readline echoes to its output; this one swallows everything.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}

/** The value of a secret, asked for on a terminal, else the whole of standard input. `command` names itself in errors. */
export async function readSecret(name: string, command: string): Promise<string> {
  if (process.stdin.isTTY) return promptHidden(`Value of ${name}: `);
  const value = (await text(process.stdin)).replace(/\r?\n$/, '');
  return value === '' ? fail(command, 'no value on standard input', 'pipe the value in') : value;
}
