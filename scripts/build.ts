/** @file Builds what is published: plain JavaScript in dist/ with the one file of Python, and the kernels. Tests stay out. */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'tsconfig.build.json')],
  {
    stdio: 'inherit',
  },
);
const trainer = join('components', 'pytorch', 'train_in_silo.py');
cpSync(join(root, 'src', trainer), join(root, 'dist', trainer));
await import('./build-kernels.ts');
