/**
 * @file The seed's own way of dealing images to hospitals, kept exactly so that its published numbers can be repeated:
 * `splitfolders.ratio(seed=31415, ratio=(0.8, 0.1, 0.1))` (python-split-folders 0.5), then file number i goes to
 * hospital i modulo the number of hospitals.
 *
 * It deals files, not patients: one patient's images land in several hospitals, and in train and test. Its test scores
 * are too good. The default is `patientDisjoint.ts`.
 */
import { byCodePoint, CLASSES, type LabelledFile, type Split } from './layout.ts';
import { pythonRandom } from './pythonRandom.ts';

const SPLIT_FOLDERS_SEED = 31415;

export interface Placed {
  readonly file: LabelledFile;
  readonly split: Split;
}

/** The files of one hospital under the seed's split; `files` in any order. */
export function roundRobin(files: readonly LabelledFile[], siloIndex: number, siloCount: number): Placed[] {
  return CLASSES.flatMap((label) => splitFolders(files.filter((file) => file.label === label)))
    .sort(
      (a, b) =>
        byCodePoint(a.split, b.split) ||
        byCodePoint(a.file.label, b.file.label) ||
        byCodePoint(a.file.name, b.file.name),
    )
    .filter((_, i) => i % siloCount === siloIndex);
}

/** `splitfolders.ratio` on the files of one class. */
function splitFolders(files: readonly LabelledFile[]): Placed[] {
  const shuffled = pythonRandom(SPLIT_FOLDERS_SEED).shuffle(files.toSorted((a, b) => byCodePoint(a.name, b.name)));
  const trainEnd = Math.trunc(0.8 * shuffled.length);
  const valEnd = trainEnd + Math.trunc(0.1 * shuffled.length);
  return shuffled.map((file, i) => ({ file, split: i < trainEnd ? 'train' : i < valEnd ? 'val' : 'test' }));
}
