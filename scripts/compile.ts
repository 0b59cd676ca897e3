/** @file Compiles src/ to plain JavaScript, as it is published, with the files of Python beside it. Tests stay out. */
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..');

/** Compiles into the folder `dist`, whose old content goes. `check`: also checks the types. */
export function compile(dist: string, { check }: { readonly check: boolean }): void {
  rmSync(dist, { recursive: true, force: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = ['-p', join(root, 'tsconfig.build.json'), '--outDir', dist, ...(check ? [] : ['--noCheck'])];
  execFileSync(process.execPath, [tsc, ...args], { stdio: 'inherit' });
  for (const file of globSync('components/pytorch/**/*.py', { cwd: join(root, 'src') }))
    cpSync(join(root, 'src', file), join(dist, file));
}
