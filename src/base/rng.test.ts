import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRng, philox4x32 } from './rng.ts';

test('philox4x32-10 gives the published vectors (Random123, kat_vectors)', () => {
  const out = new Uint32Array(4);
  philox4x32(0, 0, 0, 0, [0, 0], out);
  assert.deepEqual([...out], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  philox4x32(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, [0xffffffff, 0xffffffff], out);
  assert.deepEqual([...out], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  philox4x32(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, [0xa4093822, 0x299f31d0], out);
  assert.deepEqual([...out], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
});

test('streams repeat by name and differ between names', () => {
  const draw = (...labels: (string | number)[]) => {
    const rng = openRng(7, ...labels);
    return Array.from({ length: 9 }, () => rng.uint32());
  };
  assert.deepEqual(draw('shuffle', 1), draw('shuffle', 1));
  assert.notDeepEqual(draw('shuffle', 1), draw('shuffle', '1'));
  assert.notDeepEqual(draw('shuffle', 1, 12), draw('shuffle', 11, 2));
});

test('uniform, integer and normal have the moments they should', () => {
  const rng = openRng(3, 'moments');
  const n = 20_000;
  let [sum, sumOfSquares] = [0, 0];
  const counts = new Array<number>(7).fill(0);
  for (let i = 0; i < n; i++) {
    const z = rng.normal();
    sum += z;
    sumOfSquares += z * z;
    counts[rng.integer(7)]! += 1;
  }
  assert.ok(Math.abs(sum / n) < 4 / Math.sqrt(n));
  assert.ok(Math.abs(sumOfSquares / n - 1) < (4 * Math.SQRT2) / Math.sqrt(n));
  const chiSquare = counts.reduce((total, count) => total + (count - n / 7) ** 2 / (n / 7), 0);
  assert.ok(chiSquare < 22.46, `chi-square ${chiSquare} on 6 degrees of freedom`);
});

test('shuffle keeps every element', () => {
  const shuffled = openRng(1, 'cards').shuffle(Array.from({ length: 52 }, (_, i) => i));
  assert.notDeepEqual(
    shuffled,
    Array.from({ length: 52 }, (_, i) => i),
  );
  assert.deepEqual(
    [...shuffled].sort((a, b) => a - b),
    Array.from({ length: 52 }, (_, i) => i),
  );
});
