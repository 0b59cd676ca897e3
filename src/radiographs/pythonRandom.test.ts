import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { pythonRandom } from './pythonRandom.ts';

const SEEDS = [0, 1, 31415, 4294967295];
const SIZES = [0, 1, 2, 3, 8, 624, 1341, 3875];

test('getrandbits and shuffle give what python3 gives', (context) => {
  const program = `
import json, random
out = []
for seed in ${JSON.stringify(SEEDS)}:
    for size in ${JSON.stringify(SIZES)}:
        random.seed(seed)
        items = list(range(size))
        random.shuffle(items)
        out.append([seed, size, items, [random.getrandbits(k) for k in range(1, 33)]])
print(json.dumps(out))`;
  const { status, stdout } = spawnSync('python3', ['-c', program], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) return context.skip('python3 is not installed');
  for (const [seed, size, items, bits] of JSON.parse(stdout) as [number, number, number[], number[]][]) {
    const random = pythonRandom(seed);
    const shuffled = random.shuffle(Array.from({ length: size }, (_, i) => i));
    assert.deepEqual(shuffled, items, `seed ${seed}, ${size} items`);
    assert.deepEqual(
      Array.from({ length: 32 }, (_, i) => random.getrandbits(i + 1)),
      bits,
    );
  }
});

test('random.seed(31415); random.shuffle(list(range(10))), as CPython 3.11 printed it', () => {
  assert.deepEqual(pythonRandom(31415).shuffle([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), [2, 1, 6, 3, 5, 8, 0, 7, 4, 9]);
});
