/** @file Loads the WebAssembly kernels (kernels/src) and says which arithmetic they have. */
import { readFile } from 'node:fs/promises';
import { fail } from '../base/index.ts';

/** The module's functions; their contracts are in kernels/src. Addresses are bytes. */
export interface Kernels {
  multiplyAdd(a: number, b: number, c: number): number;
  normalise(pixels: number, table: number, out: number, size: number): void;
  packWeights(w: number, packed: number, rows: number, outputs: number): void;
  convPoolRelu(
    x: number,
    packed: number,
    bias: number,
    out: number,
    outRow: number,
    arg: number,
    size: number,
    inputs: number,
    outputs: number,
  ): void;
  winogradWeights(w: number, u: number, inputs: number, from: number, to: number): void;
  winogradPoolRelu(
    x: number,
    u: number,
    bias: number,
    out: number,
    outRow: number,
    arg: number,
    size: number,
    inputs: number,
    outputs: number,
    scratch: number,
  ): void;
  dropout(
    x: number,
    rowBytes: number,
    rows: number,
    count: number,
    key0: number,
    key1: number,
    image: number,
    layer: number,
    threshold: number,
    scale: number,
  ): void;
  packBackward(w: number, packed: number, inputs: number, outputs: number): void;
  convBackward(
    act: number,
    actRow: number,
    grad: number,
    gradRow: number,
    arg: number,
    scale: number,
    x: number,
    w: number,
    dx: number,
    dw: number,
    db: number,
    size: number,
    inputs: number,
    outputs: number,
    scratch: number,
  ): void;
  convBackward1(
    act: number,
    actRow: number,
    grad: number,
    gradRow: number,
    arg: number,
    x: number,
    dw: number,
    db: number,
    size: number,
    outputs: number,
    sums: number,
  ): void;
  denseForward(
    x: number,
    xStride: number,
    images: number,
    from: number,
    to: number,
    w: number,
    K: number,
    N: number,
    part: number,
    lists: number,
  ): void;
  denseReduce(part: number, stride: number, chunks: number, bias: number, h: number, N: number): void;
  denseBackward(
    x: number,
    xStride: number,
    dx: number,
    images: number,
    from: number,
    to: number,
    gz: number,
    w: number,
    velocity: number,
    second: number,
    anchor: number,
    K: number,
    N: number,
    settings: number,
    lists: number,
  ): void;
  sumAndUpdate(
    gradients: number,
    stride: number,
    images: number,
    w: number,
    velocity: number,
    second: number,
    anchor: number,
    from: number,
    to: number,
    settings: number,
  ): void;
  updateRange(
    w: number,
    velocity: number,
    second: number,
    anchor: number,
    gradient: number,
    bytes: number,
    settings: number,
  ): void;
}

/** Compiles the relaxed-SIMD module, or the plain one where the runtime lacks relaxed SIMD or `relaxed` is false. */
export async function compileKernels(relaxed = true): Promise<{ module: WebAssembly.Module; relaxedSimd: boolean }> {
  if (relaxed) {
    const bytes = await readModule('relaxed');
    if (WebAssembly.validate(bytes)) return { module: await WebAssembly.compile(bytes), relaxedSimd: true };
  }
  return { module: await WebAssembly.compile(await readModule('plain')), relaxedSimd: false };
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
