/**
 * @file The big linear layer with ReLU behind the fused blocks: its input is mostly zeros, which all three products skip, and its
 * gradient is never stored: the backward pass updates the weights as it goes (kernels/src/dense.ts).
 */
import type { FusedDense } from '../fused.ts';
import { elements } from '../graph.ts';
import { type Builder, type Into, imageAt, type Op, once, perImage, type Stage } from '../stage.ts';

/** k of the layer's input per work item; sums are made per item, then over items in order. */
const CHUNK = 512;

/** The gradient of the input is only made where the input is not zero: what reads it must mask it. */
export function buildDense(builder: Builder, { linear, relu }: FusedDense, into: Into | undefined): Op {
  const [x, h, dh] = [builder.tensor(linear.inputs[0]!), builder.tensor(relu.output), builder.gradient(relu.output)];
  const { name, out_features: N } = linear.layer;
  const [weight, bias] = [builder.parameter(`${name}.weight`), builder.parameter(`${name}.bias`)];
  const K = elements(x.shape);
  const chunks = Math.ceil(K / CHUNK);
  const range = (chunk: number) => [chunk * CHUNK, Math.min(K, (chunk + 1) * CHUNK)] as const;
  const { batchSize } = builder;
  const partials = builder.take(chunks * batchSize * N * 4);
  // Forward 128 entries of 8 bytes and an end an image; backward 32 entries, sums, ends and a row of gradients.
  const listBytes = Math.max(batchSize * (128 * 8 + 4), batchSize * 32 * (8 + 16) + 32 * 4 + 32 * 4);
  const lists = Array.from({ length: builder.threads }, () => builder.take(listBytes));

  const multiply: Stage = {
    items: () => chunks,
    run: (kernels, { images }, chunk, thread) => {
      const [from, to] = range(chunk);
      const part = partials + chunk * images * N * 4;
      kernels.denseForward(x.data, x.image, images, from, to, weight.at, K, N, part, lists[thread]!);
    },
  };
  const reduce = perImage((kernels, { images }, image) =>
    kernels.denseReduce(partials + image * N * 4, images * N * 4, chunks, bias.at, imageAt(h, image), N),
  );
  if (!into) return { pack: [], forward: [multiply, reduce], backward: [], update: [] };

  const { to: dx } = into;
  const preRelu = builder.take(batchSize * N * 4);
  const hiddenGradient = once((kernels, { images }) =>
    kernels.denseHiddenGradient(h.data, h.image, dh.data, dh.image, images, N, preRelu, bias.gradient),
  );
  const backward: Stage = {
    items: () => chunks,
    run: (kernels, job, chunk, thread) => {
      const [from, to] = range(chunk);
      const second = job.adaptive ? builder.second(weight.at) : 0;
      const anchor = job.anchored ? builder.anchor(weight.at) : 0;
      kernels.denseBackward(
        ...([
          x.data,
          x.image,
          dx.data,
          job.images,
          from,
          to,
          preRelu,
          weight.at,
          weight.velocity,
          second,
          anchor,
        ] as const),
        ...([K, N, builder.settings, lists[thread]!] as const),
      );
    },
  };
  return { pack: [], forward: [multiply, reduce], backward: [hiddenGradient, backward], update: [] };
}
