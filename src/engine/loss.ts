/** @file Softmax and cross-entropy over two classes, and the gradient of the logits: a few numbers, in double precision. */

/** Logits in memory: image b's begin at b * stride. */
export interface Logits {
  readonly data: Float32Array;
  readonly stride: number;
}

export interface LossResult {
  /** Mean cross-entropy; with class weights sum w_y loss / sum w_y, as torch.nn.CrossEntropyLoss has it. */
  readonly loss: number;
  /** Images whose larger logit was their label's; of equal ones the first class wins, as with PyTorch's argmax. */
  readonly correct: number;
}

/** Logit of class 1 less logit of class 0: with two classes the softmax depends on nothing else. */
const margin = ({ data, stride }: Logits, image: number): number => data[image * stride + 1]! - data[image * stride]!;

/** P(class 1) of each image. */
export const classOneProbabilities = (logits: Logits, images: number): Float64Array =>
  Float64Array.from({ length: images }, (_, image) => 1 / (1 + Math.exp(-margin(logits, image))));

/** The loss of a batch; its gradient goes to `gradients`. */
export function crossEntropy(
  logits: Logits,
  labels: Uint8Array,
  gradients: Logits,
  weights: readonly [number, number] = [1, 1],
): LossResult {
  let total = 0;
  for (const label of labels) total += weights[label]!;
  let [sum, correct] = [0, 0];
  for (const [image, label] of labels.entries()) {
    const towardsLabel = (label === 1 ? 1 : -1) * margin(logits, image);
    sum += weights[label]! * softplus(-towardsLabel);
    if (towardsLabel > 0 || (towardsLabel === 0 && label === 0)) correct += 1;
    const wrong = (weights[label]! / total) * (1 / (1 + Math.exp(towardsLabel)));
    const first = image * gradients.stride;
    gradients.data[first] = label === 1 ? wrong : -wrong;
    gradients.data[first + 1] = label === 1 ? -wrong : wrong;
  }
  return { loss: sum / total, correct };
}

const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
