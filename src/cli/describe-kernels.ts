/** @file Which arithmetic the engine has on this machine; bits repeat only with the same. */
import { openEngine, pneumoniaNetwork } from '../engine/index.ts';

/** In a few words. */
export async function describeKernels(): Promise<string> {
  const engine = await openEngine(pneumoniaNetwork({ imageSize: 8, channels: [8], hidden: 32 }), {
    threads: 1,
    batchSize: 1,
    training: false,
  });
  const { relaxedSimd, fusedMultiplyAdd } = engine.kernels;
  await engine.close();
  return `WebAssembly ${relaxedSimd ? 'relaxed SIMD' : 'SIMD'}, multiply-add ${fusedMultiplyAdd ? 'fused' : 'not fused'}`;
}
