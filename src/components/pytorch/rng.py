"""Random numbers of src/base/rng.ts: Philox4x32-10 (Salmon et al., SC 2011), keyed by a seed and labels."""
import hashlib, json

WORD = 0xFFFFFFFF


def stream_key(seed, *labels):
    digest = hashlib.sha256(json.dumps([seed, *labels], separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
    return int(digest[:8], 16), int(digest[8:16], 16)


def philox4x32(c0, c1, c2, c3, key):
    """Four words of a 128-bit counter; each may be a number or an int64 tensor of numbers below 2^32, broadcast together."""
    (k0, k1), (x0, x1, x2, x3) = key, (c0, c1, c2, c3)
    for _ in range(10):
        # Of a tensor the product wraps at 64 bits and the shift keeps its sign; masked, its halves are right all the same.
        a, b = 0xD2511F53 * x0, 0xCD9E8D57 * x2
        x0, x1, x2, x3 = ((b >> 32) & WORD) ^ x1 ^ k0, b & WORD, ((a >> 32) & WORD) ^ x3 ^ k1, a & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return x0, x1, x2, x3


def shuffled(count, seed, *labels):
    """0..count-1 in the order of src/base/rng.ts: openRng(seed, ...labels).shuffle (Fisher-Yates)."""
    key = stream_key(seed, *labels)

    def words():
        counter = 0
        while True:
            yield from philox4x32(counter & WORD, counter >> 32, 0, 0, key)
            counter += 1

    order, draws = list(range(count)), words()
    for i in range(count - 1, 0, -1):
        limit = 2**32 - 2**32 % (i + 1)
        word = next(word for word in draws if word < limit)
        j = word % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order
