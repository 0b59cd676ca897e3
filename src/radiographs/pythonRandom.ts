/**
 * @file Python's `random.seed(int)` and `random.shuffle`, bit for bit (CPython 3.2 and later): MT19937 (Matsumoto and
 * Nishimura, 1998) seeded by `init_by_array`, integers by rejection from `getrandbits`.
 *
 * Only for the seed's own split (`round-robin.ts`), which must give the same files as python-split-folders did.
 * Everything else draws from the counter-based generator of base.
 */

const SIZE = 624;
const MIDDLE = 397;

export interface PythonRandom {
  /** `random.getrandbits(bits)`, 1 to 32 bits. */
  getrandbits(bits: number): number;
  /** `random.shuffle`: shuffles in place and returns the array. */
  shuffle<T>(items: T[]): T[];
}

/** Opens `random.Random(seed)` for an integer seed in 0..2^32 - 1. */
export function pythonRandom(seed: number): PythonRandom {
  const state = seededState(seed);
  let used = SIZE;
  const uint32 = (): number => {
    if (used === SIZE) {
      twist(state);
      used = 0;
    }
    return temper(state[used++]!);
  };
  const getrandbits = (bits: number): number => uint32() >>> (32 - bits);
  const below = (limit: number): number => {
    const bits = 32 - Math.clz32(limit);
    let drawn = getrandbits(bits);
    while (drawn >= limit) drawn = getrandbits(bits);
    return drawn;
  };
  return {
    getrandbits,
    shuffle: (items) => {
      for (let i = items.length - 1; i > 0; i--) {
        const j = below(i + 1);
        [items[i], items[j]] = [items[j]!, items[i]!];
      }
      return items;
    },
  };
}

/** `init_by_array([seed])` of the reference implementation mt19937ar.c. */
function seededState(seed: number): Uint32Array {
  const state = new Uint32Array(SIZE);
  state[0] = 19650218;
  for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, mixed(state[i - 1]!)) + i;
  let i = 1;
  for (let k = 0; k < SIZE; k++) {
    state[i] = (state[i]! ^ Math.imul(mixed(state[i - 1]!), 1664525)) + seed;
    i = next(state, i);
  }
  for (let k = 0; k < SIZE - 1; k++) {
    state[i] = (state[i]! ^ Math.imul(mixed(state[i - 1]!), 1566083941)) - i;
    i = next(state, i);
  }
  state[0] = 0x80000000;
  return state;
}

const mixed = (word: number): number => word ^ (word >>> 30);

function next(state: Uint32Array, i: number): number {
  if (i + 1 < SIZE) return i + 1;
  state[0] = state[SIZE - 1]!;
  return 1;
}

function twist(state: Uint32Array): void {
  for (let i = 0; i < SIZE; i++) {
    const word = (state[i]! & 0x80000000) | (state[(i + 1) % SIZE]! & 0x7fffffff);
    state[i] = state[(i + MIDDLE) % SIZE]! ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0);
  }
}

function temper(word: number): number {
  let y = word;
  y ^= y >>> 11;
  y ^= (y << 7) & 0x9d2c5680;
  y ^= (y << 15) & 0xefc60000;
  return (y ^ (y >>> 18)) >>> 0;
}
