/**
 * @file Compiles the AssemblyScript kernels to WebAssembly: `npm run build:kernels` (part of `npm ci`).
 *
 * Four modules from one source: `relaxed` fuses multiply and add (relaxed SIMD), `plain` runs everywhere; `-unshared` is for runtimes
 * without memory that threads share. Which one an engine runs is decided when it opens (src/engine/kernels.ts). Their functions'
 * types go to `kernels.d.ts`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const kernels = join(root, 'kernels');
const build = join(kernels, 'build');
// The compiler's own program, not its module: its types would redefine globals of Node.
const compiler = join(root, 'node_modules', 'assemblyscript', 'bin', 'asc.js');
mkdirSync(build, { recursive: true });

const common = '-O3 --noAssert --runtime stub --importMemory --maximumMemory 65536 --enable simd';
const SHARED = ['--sharedMemory', '--enable', 'threads'];
const RELAXED = ['--enable', 'relaxed-simd'];
for (const [name, extra] of [
  ['plain', SHARED],
  ['relaxed', [...SHARED, ...RELAXED]],
  ['plain-unshared', ['--bindings', 'raw']],
  ['relaxed-unshared', RELAXED],
] as const) {
  const options = ['src/index.ts', '-o', `build/${name}.wasm`, '--baseDir', kernels, ...common.split(' '), ...extra];
  // asc prints its own diagnostics.
  const { status } = spawnSync(process.execPath, [compiler, ...options], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  checkNoData(name, readFileSync(join(build, `${name}.wasm`)));
}

/** Linking a module writes its data into the memory, which the engine lays out and other threads use already: there must be none. */
function checkNoData(name: string, bytes: Uint8Array): void {
  const DATA = 11;
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at++]!;
    if (id === DATA) throw new Error(`${name}.wasm has static data: a kernel uses a table or a string`);
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    at += length;
  }
}

const functions = readFileSync(join(build, 'plain-unshared.d.ts'), 'utf8').matchAll(/^ {2}export function (.+);$/gm);
writeFileSync(
  join(build, 'kernels.d.ts'),
  `/** The kernels; their contracts are in kernels/src. Addresses are bytes. */\nexport interface Kernels {\n${[...functions].map(([, signature]) => `  ${signature};\n`).join('')}}\n`,
);
for (const made of ['plain-unshared.d.ts', 'plain-unshared.js']) rmSync(join(build, made));
