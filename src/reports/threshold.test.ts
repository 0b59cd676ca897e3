import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng } from '../base/index.ts';
import { evaluateScores, summariseScores } from './evaluate.ts';
import { splitEvaluationSchema } from './figures.ts';
import { binOf, edgeOf, HISTOGRAM_BINS } from './histogram.ts';
import { poolEvaluations } from './pool.ts';
import { atOperatingPoint, chooseThreshold, thresholdRuleSchema } from './threshold.ts';

/** A hospital whose scores are all shifted: its best threshold is not 0.5. */
function hospital(silo: number, n = 300, shift = -2) {
  const rng = openRng(3, 'threshold', silo, n);
  const labels = Uint8Array.from({ length: n }, () => (rng.uniform() < 0.35 ? 1 : 0));
  const probabilities = Float32Array.from(
    labels,
    (label) => 1 / (1 + Math.exp(-(shift + (label === 1 ? 1.3 : -1.3) + 1.2 * rng.normal()))),
  );
  return { labels, probabilities };
}

const summary = (scores: ReturnType<typeof hospital>) => summariseScores({ ...scores, seed: 1, replicates: 200 });

test('an edge parts the scores as the bins do', () => {
  assert.equal(edgeOf(HISTOGRAM_BINS / 2), 0.5);
  for (let bin = 1; bin < HISTOGRAM_BINS; bin++) {
    const edge = edgeOf(bin);
    const near = Math.fround(edge);
    const step = 2 ** (Math.floor(Math.log2(edge)) - 23);
    for (const p of [near - 2 * step, near - step, near, near + step].filter((p) => p < 1))
      assert.equal(binOf(Math.fround(p)) >= bin, Math.fround(p) >= edge, `bin ${bin}, P ${p}`);
  }
});

for (const rule of ['youden', 'sensitivity:0.95', 'sensitivity:0.8', 'sensitivity:1'] as const) {
  test(`no edge is better than the chosen one on the pooled validation scores: ${rule}`, () => {
    const val = [0, 1, 2].map((silo) => hospital(silo));
    const scores = val.flatMap(({ labels, probabilities }) =>
      [...labels].map((label, i) => ({ label, p: probabilities[i]! })),
    );
    const { threshold, bin } = chooseThreshold(val.map(summary), rule);
    const at = (t: number) => {
      const share = (label: number, called: boolean) => {
        const all = scores.filter((score) => score.label === label);
        return all.filter(({ p }) => p >= t === called).length / all.length;
      };
      return { sensitivity: share(1, true), specificity: share(0, false) };
    };
    const chosen = at(threshold);
    const least = rule === 'youden' ? 0 : Number(rule.split(':')[1]);
    assert.ok(chosen.sensitivity >= least);
    const worth = ({ sensitivity, specificity }: ReturnType<typeof at>) =>
      rule === 'youden' ? sensitivity + specificity : sensitivity >= least ? specificity : -1;
    for (let edge = 0; edge < HISTOGRAM_BINS; edge++)
      assert.ok(worth(at(edgeOf(edge))) <= worth(chosen) + 1e-12, `${edgeOf(edge)} is better than ${threshold}`);
    assert.ok(bin! < HISTOGRAM_BINS / 2, 'the shifted scores want a threshold below 0.5');
  });
}

test('figures at the chosen threshold are those that the hospital itself would have counted', () => {
  const point = chooseThreshold(
    [0, 1].map((silo) => summary(hospital(silo))),
    'youden',
  );
  const test = [5, 6].map((silo) => hospital(silo, 200));
  const moved = test.map((scores) => atOperatingPoint(summary(scores), point, 1));
  for (const [i, scores] of test.entries()) {
    const exact = evaluateScores({ ...scores, threshold: point.threshold, seed: 1 });
    const {
      notMeasured: _why,
      histogram: _bins,
      designEffect: _effect,
      ...figures
    } = splitEvaluationSchema.parse(moved[i]);
    assert.ok(exact.sensitivity! > summary(scores).sensitivity! + 0.2, 'the threshold matters');
    for (const name of [
      'threshold',
      'confusion',
      'accuracy',
      'sensitivity',
      'specificity',
      'ppv',
      'npv',
      'auroc',
    ] as const)
      assert.deepEqual(figures[name], exact[name], name);
    for (const name of ['accuracy_ci95', 'sensitivity_ci95', 'specificity_ci95'] as const)
      for (const edge of [0, 1] as const) assert.ok(Math.abs(figures[name]![edge] - exact[name]![edge]) < 0.03, name);
  }
  const pooled = poolEvaluations(moved, { seed: 1, replicates: 50 });
  assert.equal(pooled.threshold, point.threshold);
  assert.equal(pooled.confusion.tp, moved[0]!.confusion.tp + moved[1]!.confusion.tp);
});

test('of equally good thresholds the one nearest to 0.5; without both classes 0.5, and why', () => {
  const apart = { labels: Uint8Array.of(0, 0, 1, 1), probabilities: Float32Array.of(0.01, 0.1, 0.9, 0.99) };
  for (const rule of ['youden', 'sensitivity:0.9'] as const)
    assert.equal(chooseThreshold([summary(apart)], rule).threshold, 0.5);
  const low = { labels: apart.labels, probabilities: Float32Array.of(0.01, 0.02, 0.1, 0.2) };
  const { threshold } = chooseThreshold([summary(low)], 'youden');
  assert.ok(threshold <= 0.1 && threshold > 0.09, `${threshold}`);
  const one = { labels: Uint8Array.of(1, 1), probabilities: Float32Array.of(0.3, 0.9) };
  const { bin, by, ...rest } = chooseThreshold([summary(one)], 'youden');
  assert.deepEqual(
    [rest.threshold, bin, by],
    [0.5, undefined, 'not by youden: the validation images are all of one class'],
  );
  assert.equal(chooseThreshold([summary(one)], 0.3).threshold, 0.3);
});

test('rules are words or a number', () => {
  for (const good of [0, 0.5, 'youden', 'sensitivity:0.95', 'sensitivity:.9', 'sensitivity:1'])
    assert.equal(thresholdRuleSchema.parse(good), good);
  for (const bad of [1.5, 'best', 'sensitivity:0', 'sensitivity:95', 'sensitivity:', '0.5'])
    assert.equal(
      thresholdRuleSchema.safeParse(bad).error?.issues[0]?.message.slice(0, 33),
      'expected a number from 0 to 1, yo',
    );
});
