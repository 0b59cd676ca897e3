/** @file The package as an installation has it, for the tests that run `fedrad`: what is published is tested, and starts in half the time. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { compile, root } from './compile.ts';

/** Builds the package into a folder of its own inside node_modules, where its dependencies are found; gone when this process ends. */
export function buildTestPackage(): string {
  const folder = mkdtempSync(join(root, 'node_modules', '.fedrad-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
  compile(join(folder, 'dist'), { check: false });
  for (const path of ['bin', 'kernels/build', 'examples', 'package.json'])
    cpSync(join(root, path), join(folder, path), { recursive: true });
  return folder;
}
