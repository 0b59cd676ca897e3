/**
 * @file Runs every test of the tree with Node's test runner. Arguments choose files: `node scripts/test.ts src/engine`.
 * With FEDRAD_FORBID_SKIP=1 (CI) a skipped test fails the run. The tests in test/ run the package as it is published.
 */
import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { root } from './compile.ts';
import { buildTestPackage } from './test-package.ts';

const chosen = process.argv.slice(2);
const patterns = (chosen.length > 0 ? chosen : ['src', 'test', 'bench']).map((path) =>
  statSync(path).isDirectory() ? `${path}/**/*.test.ts` : path,
);
/** A test file that takes longer hangs. */
const FILE_TIMEOUT_MS = 600_000;

/** Whole runs first: they take longest, and at the end one of them would run alone. */
const rank = (file: string): number => (file.startsWith('test') ? 0 : 1);
const files = globSync(patterns)
  .filter((file) => !file.includes('node_modules'))
  .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
if (files.some((file) => file.startsWith('test'))) process.env['FEDRAD_TEST_PACKAGE'] = buildTestPackage();
// Hundreds of processes strip the types of the same files.
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules', '.cache', 'tests');

const skipped: string[] = [];
// One more than there are cores: much of a federation is waiting.
const events = run({ files, concurrency: availableParallelism() + 1, timeout: FILE_TIMEOUT_MS });
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
