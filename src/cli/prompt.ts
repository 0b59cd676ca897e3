/** @file Asks for a secret on a terminal without showing what is typed. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

/** The answer to the question, typed unseen. */
export async function promptHidden(question: string): Promise<string> {
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
