/**
 * @file The roof over the kernels: how many float32 multiply-adds a second one thread does at most, in WebAssembly's 128-bit vectors and in
 * whatever vectors PyTorch's matrix product finds. A kernel that does the same arithmetic cannot be faster than this ratio.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './result.ts';

/** Independent sums, so that neither the latency of a multiply-add nor memory is what is measured. */
const SUMS = 12;

const SOURCE = `export function run(rounds: i32, a: f32, b: f32): f32 {
  const factor = f32x4.splat(a), term = f32x4.splat(b);
  ${each((i) => `let s${i} = f32x4.splat(${i}.0);`)}
  for (let i = 0; i < rounds; i++) { ${each((i) => `s${i} = f32x4.relaxed_madd(s${i}, factor, term);`)} }
  return ${Array.from({ length: SUMS }, (_, i) => `f32x4.extract_lane(s${i}, 0)`).join(' + ')};
}`;

function each(line: (index: number) => string): string {
  return Array.from({ length: SUMS }, (_, i) => line(i)).join(' ');
}

type Kernel = (rounds: number, factor: number, term: number) => number;

/** Compiled by the compiler's program, as in scripts/build-kernels.ts. */
async function kernel(): Promise<Kernel> {
  const folder = mkdtempSync(join(tmpdir(), 'fedrad-roofline-'));
  try {
    writeFileSync(join(folder, 'run.ts'), SOURCE);
    const compiler = join(import.meta.dirname, '..', 'node_modules', 'assemblyscript', 'bin', 'asc.js');
    const options = 'run.ts -o run.wasm -O3 --runtime stub --enable simd --enable relaxed-simd'.split(' ');
    const { status } = spawnSync(process.execPath, [compiler, ...options], { cwd: folder, stdio: 'inherit' });
    if (status !== 0) throw new Error('the roofline kernel does not compile');
    const module = await WebAssembly.compile(readFileSync(join(folder, 'run.wasm')));
    return new WebAssembly.Instance(module, {}).exports['run'] as Kernel;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const TORCH = `
import sys, time, torch
torch.set_num_threads(1)
size = int(sys.argv[1])
a, b = torch.randn(size, size), torch.randn(size, size)
best = 1e9
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    torch.mm(a, b)
    best = min(best, time.perf_counter() - start)
print(size ** 3 / best / 1e9)
`;

export const benchRoofline: Bench = async function* ({ tiny }) {
  const run = await kernel();
  const [rounds, turns, size] = tiny ? [1e5, 3, 64] : [1e7, 20, 2048];
  let best = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < turns; turn++) {
    const start = performance.now();
    run(rounds, 0.999, 0.001);
    best = Math.min(best, performance.now() - start);
  }
  const ours = Number(((4 * SUMS * rounds) / best / 1e6).toPrecision(3));
  const { status, stdout } = spawnSync('/usr/bin/python3', ['-c', TORCH, String(size), String(turns)], {
    encoding: 'utf8',
  });
  yield {
    case: 'float32 multiply-adds, one thread, best',
    ours,
    peer: status === 0 ? Number(Number(stdout).toPrecision(3)) : undefined,
    peerName: 'PyTorch matrix product',
    unit: 'G/s',
  };
};
