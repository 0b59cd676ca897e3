/**
 * @file Compiles the AssemblyScript kernels to WebAssembly: `npm run build:kernels` (part of `npm ci`).
 *
 * Two modules from one source: `relaxed.wasm` fuses multiply and add (relaxed SIMD), `plain.wasm` runs everywhere.
 * Which one an engine runs is decided when it opens (src/engine/kernels.ts).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const kernels = join(root, 'kernels');
// The compiler's own program, not its module: its types would redefine globals of Node.
const compiler = join(root, 'node_modules', 'assemblyscript', 'bin', 'asc.js');
mkdirSync(join(kernels, 'build'), { recursive: true });

const common =
  '-O3 --noAssert --runtime stub --importMemory --sharedMemory --maximumMemory 65536 --enable simd,threads';
for (const [name, extra] of [
  ['plain', []],
  ['relaxed', ['--enable', 'relaxed-simd']],
] as const) {
  const options = ['src/index.ts', '-o', `build/${name}.wasm`, '--baseDir', kernels, ...common.split(' '), ...extra];
  // asc prints its own diagnostics.
  const { status } = spawnSync(process.execPath, [compiler, ...options], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
