/** @file How the images of one source are dealt to hospitals and to train, val and test. */
import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { LabelledFile } from './layout.ts';
import { patientDisjoint } from './patientDisjoint.ts';
import { type Placed, roundRobin } from './roundRobin.ts';

/**
 * - `patient-disjoint` (default): the patient is the unit, 80/10/10 by images within each class.
 *   `labelSkewAlpha` (0.05 to 1000; small is uneven) draws each class's shares over hospitals from a Dirichlet;
 *   `sizeSkew` gives the hospitals' relative sizes, one number each.
 * - `round-robin`: the seed's own split by file; it leaks patients between hospitals and splits.
 */
export const partitionSchema = z
  .strictObject({
    method: z.enum(['patient-disjoint', 'round-robin']).default('patient-disjoint'),
    labelSkewAlpha: z.number().min(0.05).max(1000).optional(),
    sizeSkew: z.array(z.number().positive()).min(1).optional(),
  })
  .refine(
    ({ method, labelSkewAlpha, sizeSkew }) =>
      method === 'patient-disjoint' || (labelSkewAlpha === undefined && sizeSkew === undefined),
    'round-robin deals evenly; labelSkewAlpha and sizeSkew need patient-disjoint',
  )
  .prefault({});

export type Partition = z.output<typeof partitionSchema>;

export interface Share {
  readonly siloIndex: number;
  readonly siloCount: number;
  readonly partition: Partition;
  readonly seed: number;
}

/** The files of one hospital with their splits, sorted as the partition gives them. */
export function ownFiles(files: readonly LabelledFile[], { siloIndex, siloCount, partition, seed }: Share): Placed[] {
  switch (partition.method) {
    case 'round-robin':
      return roundRobin(files, siloIndex, siloCount);
    case 'patient-disjoint':
      return patientDisjoint(files, siloIndex, siloCount, partition, seed);
  }
}

/** Throws unless the silo index and the skew fit the number of hospitals. */
export function checkShare({ siloIndex, siloCount, partition }: Share, phantom: boolean): void {
  if (!(Number.isInteger(siloCount) && siloCount >= 1)) {
    fail('silo count', `expected a whole number from 1, got ${siloCount}`);
  }
  if (!(Number.isInteger(siloIndex) && siloIndex >= 0 && siloIndex < siloCount)) {
    fail('silo index', `expected a whole number from 0 to ${siloCount - 1}, got ${siloIndex}`);
  }
  const { sizeSkew, labelSkewAlpha } = partition;
  if (phantom && (sizeSkew ?? labelSkewAlpha) !== undefined) {
    fail('partition', 'a skew does not apply to phantoms: their hospitals differ already', 'remove it');
  }
  if (sizeSkew !== undefined && sizeSkew.length !== siloCount) {
    fail('partition.sizeSkew', `expected ${siloCount} numbers, one for each silo, got ${sizeSkew.length}`);
  }
}
