/** @file For the tests: runs a model in ONNX Runtime, which is installed apart because of its size (about 290 MB). */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The little that is used of onnxruntime-node. */
interface OnnxRuntime {
  readonly Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OnnxTensor;
  readonly InferenceSession: {
    create(model: Uint8Array): Promise<{
      run(feeds: Readonly<Record<string, OnnxTensor>>): Promise<Readonly<Record<string, OnnxTensor>>>;
      release(): Promise<void>;
    }>;
  };
}

interface OnnxTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

const installed = existsSync(join(import.meta.dirname, 'node_modules', 'onnxruntime-node'));

/** Why these tests cannot run here, or false. */
export const SKIP_ONNX_RUNTIME = installed ? false : 'ONNX Runtime is not installed (npm ci --prefix test/onnxruntime)';

/** Outputs of a model for images [N, size, size] of grey values 0..255. */
export async function runOnnx(
  model: Uint8Array,
  images: Uint8Array,
  size: number,
): Promise<Readonly<Record<string, OnnxTensor>>> {
  const require = createRequire(import.meta.url);
  const { InferenceSession, Tensor } = require('onnxruntime-node') as OnnxRuntime;
  const session = await InferenceSession.create(model);
  const count = images.length / size ** 2;
  const outputs = await session.run({
    pixels: new Tensor('float32', Float32Array.from(images), [count, 1, size, size]),
  });
  await session.release();
  return outputs;
}
