/** @file Softmax and cross-entropy of the oracle. */

export interface Loss {
  readonly loss: number;
  /** Softmax of the logits, [B, K]. */
  readonly probabilities: Float64Array;
  /** dL/dlogits, [B, K]. */
  readonly gradient: Float64Array;
}

/**
 * L = (sum over b of w[label of b] l[b]) / (sum over b of w[label of b]), l[b] = -log softmax(logits of b)[label of b]: torch's
 * CrossEntropyLoss(weight). `logits` is [B, K]; `classWeights` [K], default 1.
 */
export function crossEntropy(logits: Float64Array, labels: ArrayLike<number>, classWeights?: ArrayLike<number>): Loss {
  const K = logits.length / labels.length;
  const weights = Array.from(labels, (label) => classWeights?.[label] ?? 1);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const probabilities = new Float64Array(logits.length);
  const gradient = new Float64Array(logits.length);
  let loss = 0;
  for (const [b, weight] of weights.entries()) {
    const row = logits.subarray(b * K, b * K + K);
    const largest = Math.max(...row);
    const logSum = largest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0));
    loss += (weight * (logSum - row[labels[b]!]!)) / total;
    for (const [k, value] of row.entries()) {
      const p = Math.exp(value - logSum);
      probabilities[b * K + k] = p;
      gradient[b * K + k] = (weight * (p - (labels[b] === k ? 1 : 0))) / total;
    }
  }
  return { loss, probabilities, gradient };
}
