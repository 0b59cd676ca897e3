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
  smallNetwork,
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

const example: Recipe = {
  name: 'the example: 224x224',
  network: pneumoniaNetwork(),
  epochs: 10,
  batchSize: 32,
  learningRate: 0.01,
  optimiser: sgd(),
  schedule: { kind: 'constant', warmup_epochs: 0 },
  classWeights: 'none',
};

/** Half the side: a quarter of the work for each image. */
const SIDE = 112;
const equalising = (network: Network): Network => ({
  ...network,
  normalisation: { ...network.normalisation, equalise: 0.1 },
});
const three = pneumoniaNetwork({ imageSize: SIDE });
const four = equalising(pneumoniaNetwork({ imageSize: SIDE, channels: [32, 64, 128, 128] }));
const augmentation = (options: Partial<Augmentation>): Augmentation => augmentationSchema.parse(options);

const small: Recipe = { ...example, name: 'small images', network: three };
const exposures: Recipe = {
  ...small,
  name: '+ random exposure',
  augmentation: augmentation({ brightness: 0.1, contrast: 0.4, gamma: 0.5 }),
};
const equal: Recipe = { ...small, name: '+ equalisation instead', network: equalising(three) };
const aspects: Recipe = { ...equal, name: '+ random aspect', augmentation: augmentation({ aspect: 0.5 }) };
const placed: Recipe = {
  ...aspects,
  name: '+ shift, rotation, scale',
  augmentation: augmentation({ aspect: 0.5, shift: 0.05, rotation: 7, scale: 0.1 }),
};
const focused: Recipe = {
  ...placed,
  name: '+ sharpness',
  augmentation: augmentation({ ...placed.augmentation, sharpness: 0.5 }),
};
const deeper: Recipe = { ...focused, name: '+ a fourth block', network: four };
const cosine: Recipe = {
  ...deeper,
  name: '+ cosine schedule',
  schedule: { kind: 'cosine', min_factor: 0, warmup_epochs: 0 },
};
const weighted: Recipe = { ...cosine, name: '+ class weights', classWeights: 'balanced' };
/** Three times the epochs at less than a third of the time each. */
const recommended: Recipe = { ...weighted, name: '+ 30 epochs: recommended', epochs: 30 };
/** The same with the mean over the image in place of the dense layer: what it costs to send 1 MB in each round. */
const small1MB: Recipe = {
  ...recommended,
  name: 'recommended, network: small',
  network: equalising(smallNetwork({ imageSize: SIDE })),
};

/** Each but the first two and the last has one thing more than the one before it. */
export const RECIPES: readonly Recipe[] = [
  example,
  small,
  exposures,
  equal,
  aspects,
  placed,
  focused,
  deeper,
  cosine,
  weighted,
  recommended,
  small1MB,
];

/** The same at a fraction of the work: 64x64, half the channels, a quarter of the hidden units. */
export function reduced(recipe: Recipe): Recipe {
  const { layers, normalisation } = recipe.network;
  const pooled = layers.some(({ op }) => op === 'global_avg_pool');
  const channels = layers.flatMap((layer) => (layer.op === 'conv2d' ? [layer.out_channels / 2] : []));
  const network = pooled
    ? smallNetwork({ imageSize: 64, channels })
    : pneumoniaNetwork({ imageSize: 64, channels, hidden: 64 });
  return { ...recipe, network: { ...network, normalisation } };
}
