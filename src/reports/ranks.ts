/**
 * @file AUROC and the ROC curve from counts per score: one pass over groups of equal scores, lowest first. Groups are the
 * distinct scores of a sample, or the bins of a histogram; in both a tie counts one half, which is what midranks do.
 */

/** Images per group of equal scores, by label; groups in ascending order of score. */
export interface ScoreCounts {
  readonly negatives: ArrayLike<number>;
  readonly positives: ArrayLike<number>;
}

/** Groups equal scores: for each score the index of its value among the distinct values, ascending. */
export function denseRanks(scores: ArrayLike<number>): { group: Int32Array; groups: number } {
  const distinct = [...new Set(Float64Array.from(scores))].sort((a, b) => a - b);
  const indexOf = new Map(distinct.map((score, index) => [score, index]));
  return { group: Int32Array.from(scores, (score) => indexOf.get(score)!), groups: distinct.length };
}

/** Counts images per group, by label. */
export function countScores(group: ArrayLike<number>, groups: number, labels: ArrayLike<number>) {
  const [negatives, positives] = [new Uint32Array(groups), new Uint32Array(groups)];
  for (let i = 0; i < group.length; i++) (labels[i] === 1 ? positives : negatives)[group[i]!]! += 1;
  return { negatives, positives };
}

/**
 * The probability that a positive scores above a negative, ties counting one half (Mann-Whitney U over the pairs);
 * null unless both classes are there. Hanley and McNeil, Radiology 143:29-36, 1982.
 */
export function aurocOfCounts({ negatives, positives }: ScoreCounts): number | null {
  let [below, positivesSoFar, wins] = [0, 0, 0];
  for (let g = 0; g < positives.length; g++) {
    wins += positives[g]! * (below + negatives[g]! / 2);
    below += negatives[g]!;
    positivesSoFar += positives[g]!;
  }
  const pairs = positivesSoFar * below;
  return pairs === 0 ? null : wins / pairs;
}

/** The same of scores and their labels (1 positive, 0 negative). */
export function auroc(scores: ArrayLike<number>, labels: ArrayLike<number>): number | null {
  const { group, groups } = denseRanks(scores);
  return aurocOfCounts(countScores(group, groups, labels));
}

/** Corners of the ROC curve as [false positive rate, true positive rate], from (0, 0); empty unless both classes are there. */
export function rocOfCounts({ negatives, positives }: ScoreCounts): [number, number][] {
  const corners: [fp: number, tp: number][] = [[0, 0]];
  let [fp, tp] = [0, 0];
  for (let g = positives.length - 1; g >= 0; g--) {
    if (negatives[g] === 0 && positives[g] === 0) continue;
    fp += negatives[g]!;
    tp += positives[g]!;
    const [last, before] = [corners.at(-1)!, corners.at(-2)];
    // A point on the straight line between its neighbours says nothing: on counts this test is exact.
    if (before && (last[0] - before[0]) * (tp - last[1]) === (fp - last[0]) * (last[1] - before[1])) corners.pop();
    corners.push([fp, tp]);
  }
  return fp === 0 || tp === 0 ? [] : corners.map(([x, y]) => [x / fp, y / tp]);
}
