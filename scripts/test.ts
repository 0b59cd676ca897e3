/**
 * @file Runs every test of the tree with Node's test runner. Arguments choose files: `node scripts/test.ts src/engine`.
 * With FEDRAD_FORBID_SKIP=1 (CI) a skipped test fails the run.
 */
import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const chosen = process.argv.slice(2);
const patterns = (chosen.length > 0 ? chosen : ['src', 'test', 'bench']).map((path) =>
  statSync(path).isDirectory() ? `${path}/**/*.test.ts` : path,
);
/** A test file that takes longer hangs. */
const FILE_TIMEOUT_MS = 600_000;

const skipped: string[] = [];
const events = run({ files: globSync(patterns).sort(), concurrency: availableParallelism(), timeout: FILE_TIMEOUT_MS });
events.on('test:fail', () => {
  process.exitCode = 1;
});
events.on('test:pass', ({ name, skip }) => {
  if (skip !== undefined && skip !== false) skipped.push(`${name}: ${skip}`);
});
events.on('end', () => {
  if (skipped.length === 0 || process.env['FEDRAD_FORBID_SKIP'] !== '1') return;
  console.error(`\nSkipped, which FEDRAD_FORBID_SKIP=1 forbids:\n${skipped.join('\n')}`);
  process.exitCode = 1;
});
events.compose(spec).pipe(process.stdout);
