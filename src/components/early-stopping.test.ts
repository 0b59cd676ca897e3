import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterEvaluation, type EarlyStoppingState } from './early-stopping.ts';

/** The state after each iteration's aggregation, from the AUROC of the iteration before it. */
function stops(figures: readonly (readonly [auroc: number | null, logLoss: number])[], patience: number) {
  let state: EarlyStoppingState = { iterations: [] };
  for (const [index, [auroc, logLoss]] of figures.entries()) {
    state = afterEvaluation(state, { auroc, logLoss }, { iteration: index + 2, patience });
    if (state.stoppedAfter !== undefined) break;
  }
  return state.stoppedAfter;
}

test('training ends with the iteration that is under way when the best is patience iterations old', () => {
  assert.equal(
    stops(
      [
        [0.8, 1],
        [0.9, 1],
        [0.85, 1],
        [0.89, 1],
        [0.95, 1],
      ],
      2,
    ),
    5,
  );
  assert.equal(
    stops(
      [
        [0.8, 1],
        [0.9, 1],
        [0.85, 1],
        [0.91, 1],
        [0.95, 1],
      ],
      2,
    ),
    undefined,
  );
  assert.equal(
    stops(
      [
        [0.9, 1],
        [0.8, 1],
      ],
      1,
    ),
    3,
  );
});

test('of equal AUROC the loss decides, as for the best model; without an AUROC the loss alone', () => {
  assert.equal(
    stops(
      [
        [1, 0.5],
        [1, 0.4],
        [1, 0.3],
      ],
      1,
    ),
    undefined,
  );
  assert.equal(
    stops(
      [
        [1, 0.5],
        [1, 0.5],
        [1, 0.3],
      ],
      1,
    ),
    3,
  );
  assert.equal(
    stops(
      [
        [null, 0.5],
        [null, 0.4],
        [null, 0.6],
        [null, 0.6],
      ],
      2,
    ),
    5,
  );
});
