import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng } from '../base/index.ts';
import { type EvaluationInput, evaluateScores, summariseScores } from './evaluate.ts';
import { pooledEvaluationSchema, splitEvaluationSchema } from './figures.ts';
import { binOf, HISTOGRAM_BINS, LOGIT_LIMIT, probabilityOf } from './histogram.ts';
import { poolEvaluations } from './pool.ts';

/** float32 scores of a hospital: logits of positives around +`mean`, of negatives around -`mean`, spread by `spread`. */
function scores(seed: number, silo: number, n: number, mean: number, spread: number): EvaluationInput {
  const rng = openRng(seed, 'scores', silo);
  const labels = Uint8Array.from({ length: n }, () => (rng.uniform() < 0.6 ? 1 : 0));
  const probabilities = Float32Array.from(
    labels,
    (label) => 1 / (1 + Math.exp((label ? -mean : mean) + spread * rng.normal())),
  );
  return { labels, probabilities, seed: silo, replicates: 100 };
}

function together(inputs: readonly EvaluationInput[]): EvaluationInput {
  return {
    labels: Uint8Array.from(inputs.flatMap(({ labels }) => [...labels])),
    probabilities: Float32Array.from(inputs.flatMap(({ probabilities }) => [...probabilities])),
    seed: 1,
    replicates: 400,
  };
}

test('bins: 0.5 is an edge, the ends are open, the middle of a bin is in it', () => {
  assert.equal(binOf(0.5), HISTOGRAM_BINS / 2);
  assert.equal(binOf(Math.fround(0.49999997)), HISTOGRAM_BINS / 2 - 1);
  assert.equal(binOf(0), 0);
  assert.equal(binOf(1), HISTOGRAM_BINS - 1);
  assert.ok(Math.fround(1 - 2 ** -24) < 1 && binOf(1 - 2 ** -24) === HISTOGRAM_BINS - 1, `limit ${LOGIT_LIMIT}`);
  for (let bin = 0; bin < HISTOGRAM_BINS; bin++) assert.equal(binOf(probabilityOf(bin)), bin);
});

test('the pooled AUROC is within 0.002 of exact, from hesitant scores to saturated ones', () => {
  for (const [mean, spread] of [
    [0.5, 0.7],
    [1, 1],
    [2, 2],
    [3, 4],
    [6, 5],
    [10, 8],
  ] as const) {
    for (let seed = 0; seed < 8; seed++) {
      const inputs = [120, 200, 90].map((n, silo) => scores(seed, silo, n, mean, spread));
      const exact = evaluateScores(together(inputs)).auroc!;
      const pooled = poolEvaluations(
        inputs.map((input) => summariseScores({ ...input, replicates: 2 })),
        { seed: 1, replicates: 2 },
      ).auroc!;
      assert.ok(Math.abs(pooled - exact) < 0.002, `mean ${mean}, spread ${spread}: ${pooled} for ${exact}`);
    }
  }
});

test('what does not need the order of scores is pooled exactly, and intervals and curves agree with the exact ones', () => {
  const inputs = [150, 220, 130].map((n, silo) => scores(4, silo, n, 1.2, 1.5));
  const exact = evaluateScores(together(inputs));
  const pooled = pooledEvaluationSchema.parse(
    poolEvaluations(inputs.map(summariseScores), { seed: 1, replicates: 400 }),
  );
  for (const name of [
    'n',
    'positives',
    'patients',
    'threshold',
    'confusion',
    'accuracy',
    'sensitivity',
    'specificity',
    'ppv',
    'npv',
  ] as const) {
    assert.deepEqual(pooled[name], exact[name], name);
  }
  assert.equal(pooled.brier!.toFixed(12), exact.brier!.toFixed(12));
  assert.equal(pooled.logLoss!.toFixed(12), exact.logLoss!.toFixed(12));
  assert.ok(Math.abs(pooled.ece! - exact.ece!) < 0.01, `${pooled.ece} for ${exact.ece}`);
  for (const name of ['auroc_ci95', 'accuracy_ci95', 'sensitivity_ci95', 'specificity_ci95'] as const) {
    for (const edge of [0, 1] as const) {
      const gap = Math.abs(pooled[name]![edge] - exact[name]![edge]);
      assert.ok(gap < 0.012, `${name}: ${pooled[name]} for ${exact[name]}`);
    }
  }
});

test('design effects widen the pooled intervals by their square root', () => {
  const silos = [0, 1].map((silo) => summariseScores(scores(2, silo, 200, 0.6, 1.5)));
  const effect = { auroc: 4, accuracy: 4, sensitivity: 4, specificity: 4 };
  const width = (perSilo: typeof silos) => {
    const { auroc, auroc_ci95: interval } = poolEvaluations(perSilo, { seed: 1 });
    return [auroc! - interval![0], interval![1] - auroc!];
  };
  const plain = width(silos);
  const widened = width(silos.map((silo) => ({ ...silo, designEffect: effect })));
  for (const side of [0, 1]) assert.equal((widened[side]! / plain[side]!).toFixed(9), '2.000000000');
});

test('the pooled interval of patients with many alike images is as wide as resampling the patients makes it', () => {
  const inputs = [0, 1, 2].map((silo): EvaluationInput => {
    const rng = openRng(6, 'clustered', silo);
    const perPatient = 5;
    const labels = Uint8Array.from({ length: 60 * perPatient }, (_, i) => Math.floor(i / perPatient) % 2);
    const patients = Int32Array.from(labels, (_, i) => 1000 * silo + Math.floor(i / perPatient));
    const own = Float64Array.from({ length: 60 }, () => 1.5 * rng.normal());
    const probabilities = Float32Array.from(labels, (label, i) => {
      const logit = 2 * label - 1 + own[Math.floor(i / perPatient)]! + 0.5 * rng.normal();
      return 1 / (1 + Math.exp(-logit));
    });
    return { probabilities, labels, patients, seed: 1 };
  });
  const patients = Int32Array.from(inputs.flatMap((input) => [...input.patients!]));
  const exact = evaluateScores({ ...together(inputs), patients, replicates: 1000 });
  const pooled = poolEvaluations(inputs.map(summariseScores), { seed: 1 });
  const width = ([low, high]: readonly [number, number]) => high - low;
  for (const name of ['auroc', 'accuracy', 'sensitivity', 'specificity'] as const) {
    const [wide, effect] = [width(pooled[`${name}_ci95`]!) / width(exact[`${name}_ci95`]!), pooled.designEffect[name]];
    assert.ok(wide > 0.88 && wide < 1.14, `${name}: ${wide} times as wide`);
    assert.ok(effect > 1.8 && effect < 6, `${name}: design effect ${effect}`);
  }
});

test('an AUROC that only tells hospitals apart shows within them', () => {
  // Hospital 1 is mostly sick and scores high, hospital 2 mostly well and scores low; inside each, scores say nothing.
  const silo = (sick: number, logit: number, seed: number) => {
    const rng = openRng(seed, 'confounded');
    const labels = Uint8Array.from({ length: 200 }, (_, i) => (i < sick ? 1 : 0));
    return summariseScores({
      labels,
      probabilities: Float32Array.from(labels, () => 1 / (1 + Math.exp(-logit - rng.normal()))),
      seed,
      replicates: 10,
    });
  };
  const pooled = poolEvaluations([silo(180, 2, 1), silo(20, -2, 2)], { seed: 1, replicates: 10 });
  assert.ok(pooled.auroc! > 0.85, `${pooled.auroc}`);
  assert.ok(Math.abs(pooled.aurocWithinSilos! - 0.5) < 0.1, `${pooled.aurocWithinSilos}`);
});

test('no hospitals, or hospitals without a class, give null with the reason', () => {
  assert.equal(poolEvaluations([], { seed: 1 }).notMeasured.auroc, 'the set has no images');
  const sick = summariseScores({ probabilities: Float32Array.of(0.9), labels: Uint8Array.of(1), seed: 1 });
  const well = summariseScores({ probabilities: Float32Array.of(0.2), labels: Uint8Array.of(0), seed: 1 });
  assert.equal(poolEvaluations([sick], { seed: 1 }).notMeasured.auroc, 'no image is labelled NORMAL');
  const both = poolEvaluations([sick, well], { seed: 1 });
  assert.equal(both.auroc, 1);
  assert.ok(both.auroc_ci95![0] < 0.5, 'two images prove nothing');
  assert.equal(both.aurocWithinSilos, null);
});

test('counts that disagree are refused', () => {
  const silo = summariseScores(scores(1, 0, 40, 1, 1));
  const pool = (changed: object) => () => poolEvaluations([silo, { ...silo, ...changed }], { seed: 1 });
  assert.equal(splitEvaluationSchema.safeParse({ ...silo, n: 2_000_000 }).success, false);
  assert.throws(pool({ threshold: 0.4 }), /hospital 2 of 2: expected threshold 0.5 .* got 0.4/);
  assert.throws(pool({ histogram: { ...silo.histogram, positives: [1] } }), /expected 512 bins of positives, got 1/);
  assert.throws(pool({ confusion: { ...silo.confusion, tp: silo.confusion.tp + 1 } }), /positives in the histogram/);
});
