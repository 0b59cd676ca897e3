/**
 * @file The last layer and the loss: logits = h W + b, softmax, mean cross-entropy, and their gradients. A few thousand
 * multiplications, so plain TypeScript, summed in double precision.
 */

/** fc2, views into the engine's memory: weight [2, N], bias [2]. */
export interface Head {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

export interface HeadGradients {
  /** Mean cross-entropy of the batch. */
  readonly loss: number;
  readonly correct: number;
  readonly weight: Float64Array;
  readonly bias: Float64Array;
  /** Gradient of the hidden activations' pre-ReLU value, [B, N]. */
  readonly hidden: Float64Array;
}

/** P(class 1) of each image, from the hidden activations h [B, N]. */
export function classOneProbabilities(head: Head, h: Float32Array, images: number): Float64Array {
  const N = head.weight.length / 2;
  return Float64Array.from(
    { length: images },
    (_, b) => 1 / (1 + Math.exp(-margin(head, h.subarray(b * N, b * N + N)))),
  );
}

/**
 * Loss and gradients of the mean cross-entropy over the batch; with class weights the weighted mean, sum w_y loss / sum w_y, as
 * PyTorch's CrossEntropyLoss.
 */
export function headGradients(
  head: Head,
  h: Float32Array,
  labels: Uint8Array,
  classWeights: readonly [number, number] = [1, 1],
): HeadGradients {
  const N = head.weight.length / 2;
  const images = labels.length;
  const total = labels.reduce((sum, label) => sum + classWeights[label]!, 0);
  const weight = new Float64Array(2 * N);
  const bias = new Float64Array(2);
  const hidden = new Float64Array(images * N);
  let [lossSum, correct] = [0, 0];
  for (let b = 0; b < images; b++) {
    const label = labels[b]!;
    const row = h.subarray(b * N, b * N + N);
    const towardsLabel = (label === 1 ? 1 : -1) * margin(head, row);
    lossSum += classWeights[label]! * softplus(-towardsLabel);
    // Of equal logits the first class wins, as with PyTorch's argmax.
    if (towardsLabel > 0 || (towardsLabel === 0 && label === 0)) correct += 1;
    const wrong = classWeights[label]! / (1 + Math.exp(towardsLabel)) / total;
    const d1 = label === 1 ? -wrong : wrong;
    bias[0]! -= d1;
    bias[1]! += d1;
    for (let n = 0; n < N; n++) {
      const active = row[n]!;
      if (active <= 0) continue;
      weight[n]! -= d1 * active;
      weight[N + n]! += d1 * active;
      hidden[b * N + n] = d1 * (head.weight[N + n]! - head.weight[n]!);
    }
  }
  return { loss: lossSum / total, correct, weight, bias, hidden };
}

/** Logit of class 1 less logit of class 0: with two classes the softmax depends on nothing else. */
function margin({ weight, bias }: Head, h: Float32Array): number {
  const N = h.length;
  let sum = bias[1]! - bias[0]!;
  for (let n = 0; n < N; n++) sum += h[n]! * (weight[N + n]! - weight[n]!);
  return sum;
}

const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
