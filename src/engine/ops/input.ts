/** @file The image as the first tensor: grey values normalised by table. */
import { type Builder, imageAt, type Op, perImage } from '../stage.ts';

/** `images`: address of the batch's pixels, u8 [B, size, size]; `table`: of the 256 normalised values. */
export function buildInput(builder: Builder, images: number, table: number, size: number): Op {
  const x = builder.tensor(0);
  const forward = perImage((kernels, _job, image) =>
    kernels.normalise(images + image * size * size, table, imageAt(x, image), x.row, x.pixel, size),
  );
  return { pack: [], forward: [forward], backward: [], update: [] };
}
