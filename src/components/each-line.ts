/** @file Text that comes in pieces, line by line. */
import type { Readable } from 'node:stream';

/** Characters of a line that are read. */
const LINE_LIMIT = 16_000;

/** Calls `handle` with each line; of a longer one with its first 16,000 characters, and never holds more. Settles at the end of the stream. */
export function eachLine(stream: Readable, handle: (line: string) => void): Promise<void> {
  let line = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const [first, ...rest] = chunk.split('\n');
    line = (line + first).slice(0, LINE_LIMIT);
    for (const next of rest) {
      handle(line);
      line = next.slice(0, LINE_LIMIT);
    }
  });
  return new Promise((resolve) => {
    stream.once('close', () => {
      if (line !== '') handle(line);
      resolve();
    });
  });
}
