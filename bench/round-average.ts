/** @file The mean of model files of equal layout, piece by piece: of each file only a few megabytes are in memory. */
import { type FileHandle, open } from 'node:fs/promises';
import { average, checkUpdate } from '../src/federation/index.ts';

const PIECE_BYTES = 2 * 1024 * 1024;

/** Where the tensors begin. */
async function bodyStart(file: FileHandle): Promise<number> {
  const length = Buffer.alloc(8);
  await file.read(length, 0, 8, 0);
  return 8 + Number(length.readBigUInt64LE());
}

/** Writes the mean of the files' tensors to `path`, under the header of the first. Each update is checked as the aggregation step checks it. */
export async function averageFiles(paths: readonly string[], path: string): Promise<void> {
  const files = await Promise.all(paths.map((input) => open(input, 'r')));
  const output = await open(path, 'w');
  try {
    const start = await bodyStart(files[0]!);
    const { size } = await files[0]!.stat();
    const header = Buffer.alloc(start);
    await files[0]!.read(header, 0, start, 0);
    await output.write(header, 0, start, 0);
    const buffers = [0, 1].map(() => files.map(() => new Float32Array(PIECE_BYTES / 4)));
    const read = (at: number): Promise<Float32Array[]> => {
      const length = Math.min(PIECE_BYTES, size - at);
      return Promise.all(
        files.map(async (file, k) => {
          const data = buffers[((at - start) / PIECE_BYTES) % 2]![k]!.subarray(0, length / 4);
          await file.read(data, 0, length, at);
          return data;
        }),
      );
    };
    let next = read(start);
    let written: Promise<unknown> = Promise.resolve();
    for (let at = start; at < size; at += PIECE_BYTES) {
      const pieces = await next;
      if (at + PIECE_BYTES < size) next = read(at + PIECE_BYTES);
      const shape = [pieces[0]!.length];
      const updates = pieces.map((data, k) => ({
        silo: `silo${k}`,
        examples: 1000 + k,
        parameters: new Map([['piece', { shape, data }]]),
      }));
      for (const update of updates) checkUpdate(update, new Map([['piece', shape]]));
      const mean = average(updates, 'examples').get('piece')!.data;
      await written;
      written = output.write(mean, 0, mean.byteLength, at);
    }
    await written;
  } finally {
    await Promise.all([...files, output].map((file) => file.close()));
  }
}
