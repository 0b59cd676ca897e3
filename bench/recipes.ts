/** @file The recipes that the ablation compares: the example's own, and one thing more at a time. */
import {
  type Augmentation,
  augmentationSchema,
  type ClassWeights,
  type Network,
  type Optimiser,
  pneumoniaNetwork,
  type Schedule,
  sgd,
} from '../src/engine/index.ts';

/** All that decides what is learned from given images, but for the seed. */
export interface Recipe {
  readonly name: string;
  readonly network: Network;
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly optimiser: Optimiser;
  readonly schedule: Schedule;
  readonly classWeights: ClassWeights;
  readonly augmentation?: Augmentation;
}

const recipe = (name: string, imageSize: number, channels: readonly number[], more: Partial<Recipe> = {}): Recipe => ({
  name,
  network: pneumoniaNetwork({ imageSize, channels }),
  epochs: 10,
  batchSize: 32,
  learningRate: 0.01,
  optimiser: sgd(),
  schedule: { kind: 'constant', warmup_epochs: 0 },
  classWeights: 'none',
  ...more,
});

const augmentation = (options: Partial<Augmentation>) => ({ augmentation: augmentationSchema.parse(options) });

const placed = { shift: 0.1, rotation: 15, scale: 0.2 };
const squashed = { ...placed, aspect: 0.3 };
const exposed = { ...squashed, brightness: 0.1, contrast: 0.4, gamma: 0.5 };
const focused = { ...exposed, sharpness: 0.5 };

export const RECIPES: readonly Recipe[] = [
  recipe('the example: 224x224', 224, [32, 64, 128]),
  recipe('112x112', 112, [32, 64, 128]),
  recipe('+ shift, rotation, scale', 112, [32, 64, 128], augmentation(placed)),
  recipe('+ aspect', 112, [32, 64, 128], augmentation(squashed)),
  recipe('+ brightness, contrast, gamma', 112, [32, 64, 128], augmentation(exposed)),
  recipe('+ sharpness', 112, [32, 64, 128], augmentation(focused)),
  recipe('+ a fourth block', 112, [32, 64, 128, 128], augmentation(focused)),
];
