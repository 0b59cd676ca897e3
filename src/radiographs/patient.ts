/**
 * @file Which patient a radiograph shows, from its file name.
 *
 * The patient is the unit of every split and count: two images of one chest in train and test would make the test a
 * memory test. Names are all that public data sets give, so the rule errs on the safe side: grouping too much only
 * makes the parts a little less even, grouping too little leaks.
 */

/**
 * The series of names we know. In the Kaggle set (Kermany et al. 2018) the number restarts in each series, so the series
 * is part of the patient; the rest of the name is not:
 * - `person123_virus_4` and `person123_bacteria_1`: the third number counts images over the whole set, and a patient may
 *   have had both infections, so the bare number 123 is the patient;
 * - `IM-0115-0001`, `IM-0115-0001-0002` and `NORMAL2-IM-0115-0001`: nobody says whether the prefix starts a new numbering,
 *   211 numbers occur with and without it, and two examinations of one child are likely: the bare number 115 again.
 */
const SERIES: readonly (readonly [series: string, pattern: RegExp])[] = [
  ['person', /(?:^|_)person(\d+)_/i],
  ['IM', /^(?:NORMAL\d*-)?IM-(\d+)-/i],
  // NIH ChestX-ray14: 00000013_005.png is the sixth image of patient 13.
  ['NIH', /^(\d{8})_\d{3}\./],
];

/**
 * The patient a file name belongs to: `person123`, `IM115`, `NIH13`. A name of no known series is a patient of its own
 * (the name without its extension).
 */
export function patientOf(fileName: string): string {
  for (const [series, pattern] of SERIES) {
    const number = pattern.exec(fileName)?.[1];
    if (number !== undefined) return `${series}${number.replace(/^0+(?=\d)/, '')}`;
  }
  return fileName.replace(/\.[^.]*$/, '');
}
