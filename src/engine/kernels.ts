/** @file Loads the WebAssembly kernels (kernels/src) and says which arithmetic they have. */
import { readFile } from 'node:fs/promises';
import type { Kernels } from '../../kernels/build/kernels.d.ts';
import { fail } from '../base/index.ts';

export type { Kernels };

export interface KernelChoice {
  /** false: never relaxed SIMD. */
  readonly relaxedSimd: boolean;
  /** Memory that threads share. */
  readonly sharedMemory: boolean;
}

/** Compiles the relaxed-SIMD module, or the plain one where the runtime lacks relaxed SIMD or `relaxedSimd` is false. */
export async function compileKernels({
  relaxedSimd,
  sharedMemory,
}: KernelChoice): Promise<{ module: WebAssembly.Module; relaxedSimd: boolean }> {
  const suffix = sharedMemory ? '' : '-unshared';
  if (relaxedSimd) {
    const bytes = await readModule(`relaxed${suffix}`);
    if (WebAssembly.validate(bytes)) return { module: await WebAssembly.compile(bytes), relaxedSimd: true };
  }
  return { module: await WebAssembly.compile(await readModule(`plain${suffix}`)), relaxedSimd: false };
}

/** Links the kernels to a memory. */
export const linkKernels = (module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels =>
  new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;

/** Whether a * b + c is rounded once: 1 - (1 + u)(1 - u) is u^2 only then. */
export function fusesMultiplyAdd(kernels: Kernels): boolean {
  const u = 2 ** -13;
  return kernels.multiplyAdd(1 + u, 1 - u, -1) !== 0;
}

async function readModule(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(`../../kernels/build/${name}.wasm`, import.meta.url);
  try {
    return new Uint8Array(await readFile(url));
  } catch (cause) {
    return fail('engine', `the compiled kernels are missing (${url.pathname})`, 'npm run build:kernels', cause);
  }
}
