import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng, type Rng } from '../base/index.ts';
import { evaluateScores, summariseScores } from './evaluate.ts';
import { evaluationSchema, splitEvaluationSchema } from './figures.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Binormal scores: logits of negatives N(0, 1), of positives N(shift, 1), `n` images, 40 % negative. */
function binormal(rng: Rng, n: number, shift: number) {
  const labels = Uint8Array.from({ length: n }, (_, i) => (i < 0.4 * n ? 0 : 1));
  const probabilities = Float32Array.from(labels, (label) => sigmoid(shift * label + rng.normal()));
  return { labels, probabilities };
}

test('figures of six images by hand', () => {
  const evaluation = evaluateScores({
    probabilities: Float64Array.of(0.1, 0.4, 0.5, 0.35, 0.8, 0.5),
    labels: Uint8Array.of(0, 0, 0, 1, 1, 1),
    seed: 1,
    replicates: 50,
  });
  assert.deepEqual(evaluation.confusion, { tp: 2, fp: 1, tn: 2, fn: 1 });
  // Pairs won by 0.35: one of three; by 0.8: three; by 0.5: two and a tie.
  assert.equal(evaluation.auroc, 6.5 / 9);
  assert.equal(evaluation.sensitivity, 2 / 3);
  assert.equal(evaluation.specificity, 2 / 3);
  assert.equal(evaluation.accuracy, 4 / 6);
  assert.equal(evaluation.ppv, 2 / 3);
  assert.equal(evaluation.npv, 2 / 3);
  const brier = (0.01 + 0.16 + 0.25 + 0.4225 + 0.04 + 0.25) / 6;
  assert.ok(Math.abs(evaluation.brier! - brier) < 1e-12);
  const logLoss = -(Math.log(0.9) + Math.log(0.6) + Math.log(0.5) + Math.log(0.35) + Math.log(0.8) + Math.log(0.5)) / 6;
  assert.ok(Math.abs(evaluation.logLoss! - logLoss) < 1e-12);
  assert.equal(evaluation.patients, 6);
  assert.deepEqual(evaluation.notMeasured, {});
  evaluationSchema.parse(evaluation);
});

test('what a missing class leaves unmeasured is null, with the reason', () => {
  const positiveOnly = evaluateScores({
    probabilities: Float32Array.of(0.9, 0.8),
    labels: Uint8Array.of(1, 1),
    seed: 1,
  });
  assert.equal(positiveOnly.auroc, null);
  assert.equal(positiveOnly.auroc_ci95, null);
  assert.equal(positiveOnly.sensitivity, 1);
  assert.deepEqual(positiveOnly.notMeasured, {
    auroc: 'no image is labelled NORMAL',
    specificity: 'no image is labelled NORMAL',
    npv: 'no image was called NORMAL',
  });
  const empty = summariseScores({ probabilities: new Float32Array(0), labels: new Uint8Array(0), seed: 1 });
  assert.equal(empty.accuracy, null);
  assert.equal(empty.notMeasured.logLoss, 'the set has no images');
  splitEvaluationSchema.parse(empty);
  evaluationSchema.parse(positiveOnly);
});

test('probabilities that are none are refused, with what to do', () => {
  const input = { probabilities: Float32Array.of(0.2, Number.NaN), labels: Uint8Array.of(0, 1), seed: 1 };
  assert.throws(() => evaluateScores(input), /probability of image 1 is NaN.*lower the learning rate/);
  assert.throws(() => evaluateScores({ ...input, labels: Uint8Array.of(0) }), RangeError);
});

test('a score of saturated zeros and ones has a finite log loss', () => {
  const { logLoss } = evaluateScores({ probabilities: Float32Array.of(1, 0), labels: Uint8Array.of(0, 1), seed: 1 });
  assert.equal(logLoss!.toFixed(3), '16.118');
});

test('the same seed gives the same bits, another seed another interval', () => {
  const { probabilities, labels } = binormal(openRng(5, 'repeat'), 80, 1.5);
  const interval = (seed: number) => evaluateScores({ probabilities, labels, seed, replicates: 200 }).auroc_ci95;
  assert.deepEqual(interval(1), interval(1));
  assert.notDeepEqual(interval(1), interval(2));
});

test('the interval covers the true AUROC of binormal scores as often as it says', () => {
  const shift = 1.5;
  // Phi(shift / sqrt 2), the AUROC of two unit normals `shift` apart.
  const truth = 0.855578;
  let covered = 0;
  for (let set = 0; set < 200; set++) {
    const { probabilities, labels } = binormal(openRng(21, 'coverage', set), 200, shift);
    const [low, high] = evaluateScores({ probabilities, labels, seed: set, replicates: 300 }).auroc_ci95!;
    if (low <= truth && truth <= high) covered += 1;
  }
  assert.ok(covered >= 176 && covered < 200, `covered ${covered} of 200`);
});

test('copies of one image are one patient: the interval does not narrow and the design effect is their number', () => {
  const { probabilities, labels } = binormal(openRng(8, 'copies'), 60, 1.2);
  const copies = 4;
  const repeat = <T extends Float32Array | Uint8Array>(values: T): number[] =>
    [...values].flatMap((value) => new Array<number>(copies).fill(value));
  const input = {
    probabilities: Float32Array.from(repeat(probabilities)),
    labels: Uint8Array.from(repeat(labels)),
    patients: Int32Array.from({ length: 60 * copies }, (_, i) => Math.floor(i / copies)),
    seed: 3,
  };
  const once = evaluateScores({ probabilities, labels, seed: 3 });
  const clustered = summariseScores(input);
  assert.equal(clustered.patients, 60);
  assert.deepEqual(clustered.auroc_ci95, once.auroc_ci95);
  for (const effect of Object.values(clustered.designEffect)) assert.ok(effect > 3.2 && effect < 5, `${effect}`);
});

test('a patient with images of both classes is drawn whole', () => {
  const evaluation = evaluateScores({
    probabilities: Float32Array.of(0.2, 0.9, 0.3, 0.7),
    labels: Uint8Array.of(0, 1, 0, 1),
    patients: Int32Array.of(7, 7, 9, 9),
    seed: 1,
    replicates: 20,
  });
  assert.equal(evaluation.patients, 2);
  assert.equal(evaluation.auroc, 1);
  assert.ok(evaluation.auroc_ci95![0] < 0.8, 'two patients prove little');
});
