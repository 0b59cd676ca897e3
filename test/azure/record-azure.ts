/**
 * @file For `node --import`: appends to the file that FEDRAD_TEST_LOADED names a line for the process, and one for each module of Azure's
 * packages that it asks for. It changes nothing else. Not for a step in its sandbox, which may write no such file.
 */
import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { basename } from 'node:path';
import { isMainThread } from 'node:worker_threads';

const file = process.env['FEDRAD_TEST_LOADED'];
if (file !== undefined) {
  const who = [basename(process.argv[1] ?? ''), ...process.argv.slice(2, 4)].join(' ');
  if (isMainThread) appendFileSync(file, `${who}: started\n`);
  registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier.startsWith('@azure/')) appendFileSync(file, `${who}: ${specifier}\n`);
      return next(specifier, context);
    },
  });
}
