/** @file Scores images with a model, in batches; on request with a picture of where the model saw what speaks for pneumonia. */
import { availableParallelism } from 'node:os';
import { messageOf } from '../base/index.ts';
import type { ModelFile } from '../components/index.ts';
import { type CamMethod, classActivationMaps, openEngine } from '../engine/index.ts';
import { decodeRadiograph, type OverlayMap } from '../radiographs/index.ts';

const BATCH_SIZE = 32;

export interface Scored {
  readonly image: string;
  readonly probability?: number;
  readonly label?: 'NORMAL' | 'PNEUMONIA';
  readonly error?: string;
}

export interface ScoreOptions {
  /** A score from here on counts as pneumonia. */
  readonly threshold: number;
  /** How the maps are made. Default Grad-CAM. */
  readonly method?: CamMethod;
  /** Is given the map of each image that could be read, by its index in `paths`. */
  readonly onMap?: (index: number, map: OverlayMap) => Promise<void>;
}

/** Scores images; one that cannot be read gets an error in its place. */
export async function scoreImages(
  { network, parameters }: ModelFile,
  paths: readonly string[],
  { threshold, onMap, method = 'grad-cam' }: ScoreOptions,
): Promise<Scored[]> {
  const engine = await openEngine(network, {
    threads: Math.min(availableParallelism(), 8),
    batchSize: BATCH_SIZE,
    training: false,
  });
  try {
    engine.load(parameters);
    const scored: Scored[] = [];
    for (let start = 0; start < paths.length; start += BATCH_SIZE) {
      const batch = await Promise.all(
        paths.slice(start, start + BATCH_SIZE).map((image) => tryDecode(image, network.imageSize)),
      );
      const readable = batch.flatMap(({ pixels }, offset) => (pixels ? [{ pixels, index: start + offset }] : []));
      const images = new Uint8Array(Buffer.concat(readable.map(({ pixels }) => pixels)));
      const probabilities = readable.length === 0 ? [] : [...engine.probabilities(images)];
      const byIndex = new Map(readable.map(({ index }, at) => [index, probabilities[at]!]));
      for (const [offset, { error }] of batch.entries()) {
        const [image, probability] = [paths[start + offset]!, byIndex.get(start + offset)];
        scored.push(
          probability === undefined
            ? { image, error: error ?? 'unreadable' }
            : { image, probability, label: probability >= threshold ? 'PNEUMONIA' : 'NORMAL' },
        );
      }
      if (onMap && readable.length > 0) {
        const features = engine.features(images);
        const { width, height } = features.shape;
        const maps = classActivationMaps(network, parameters, features, method);
        for (const [at, { index }] of readable.entries()) {
          const values = maps.subarray(at * width * height, (at + 1) * width * height);
          await onMap(index, { values, width, height, probability: probabilities[at]! });
        }
      }
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${scored.length}/${paths.length} images`);
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    return scored;
  } finally {
    await engine.close();
  }
}

async function tryDecode(image: string, imageSize: number): Promise<{ pixels?: Uint8Array; error?: string }> {
  try {
    return { pixels: await decodeRadiograph(image, imageSize) };
  } catch (error) {
    return { error: plainWords(error) };
  }
}

function plainWords(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return PLAIN_WORDS[code ?? ''] ?? messageOf(error);
}

const PLAIN_WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EISDIR: 'a folder, not an image',
  EACCES: 'no permission to read it',
  EPERM: 'no permission to read it',
};
