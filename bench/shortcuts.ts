/** @file How well the way an image was taken tells its class: no figure here sees a lung. */
import { auroc } from '../src/reports/index.ts';
import { type Acquisition, acquisitionOf } from './acquisition.ts';
import type { Held } from './shift.ts';

const MEASURES: Readonly<Record<string, (acquisition: Acquisition) => number>> = {
  'width against height': ({ aspect }) => aspect,
  sharpness: ({ sharpness }) => sharpness,
  'black level': ({ window: [black] }) => black,
  'white level': ({ window: [, , white] }) => white,
};

/** AUROC of each figure alone, in the direction that is better than chance. */
export function shortcuts({ images, labels, size }: Held): Readonly<Record<string, number>> {
  const area = size * size;
  const acquisitions = Array.from(labels, (_, i) => acquisitionOf(images.subarray(i * area, (i + 1) * area), size));
  return Object.fromEntries(
    Object.entries(MEASURES).map(([name, of]) => {
      const found = auroc(acquisitions.map(of), labels)!;
      return [name, Math.max(found, 1 - found)];
    }),
  );
}
