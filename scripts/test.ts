/** @file Runs every test of the tree with Node's test runner. Arguments choose files: `node scripts/test.ts src/engine`. */
import { spawnSync } from 'node:child_process';
import { globSync, statSync } from 'node:fs';

const chosen = process.argv.slice(2);
const patterns = (chosen.length > 0 ? chosen : ['src', 'test', 'bench', 'scripts']).map((path) =>
  statSync(path).isDirectory() ? `${path}/**/*.test.ts` : path,
);
const files = globSync(patterns).sort();
const { status } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', ...files], { stdio: 'inherit' });
process.exit(status ?? 1);
