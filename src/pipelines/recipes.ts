/** @file Recipes: defaults of training_parameters under one word. A key that the config names itself wins over its recipe. */

/** Values as they would stand in config.yaml. */
export const RECIPES = {
  /** The Azure ML example's training. */
  seed: {},
  /** For images from elsewhere: docs/recipe.md has the evidence. Half the side, a block more and three times the epochs of the example, in less of its time (docs/performance.md). */
  recommended: {
    num_of_iterations: 6,
    epochs: 5,
    image_size: 112,
    channels: [32, 64, 128, 128],
    lr_schedule: 'cosine',
    class_weights: 'balanced',
    augmentation: { aspect: 0.5, shift: 0.05, rotation: 7, scale: 0.1, sharpness: 0.5 },
    equalise: 0.1,
    threshold: 'youden',
  },
} as const satisfies Record<string, Readonly<Record<string, unknown>>>;

export type RecipeName = keyof typeof RECIPES;

/** training_parameters with the defaults of the recipe that they name; what is wrong with them is for the schema to say. */
export function withRecipe(training: unknown): unknown {
  if (training === null || typeof training !== 'object' || Array.isArray(training)) return training;
  const { recipe } = training as { recipe?: unknown };
  const known = typeof recipe === 'string' && Object.hasOwn(RECIPES, recipe);
  if (!known) return training;
  const { channels, ...others }: { channels?: unknown } = RECIPES[recipe as RecipeName];
  // The channels are of the pneumonia network, which is the default; another one has its own.
  const { network = 'pneumonia' } = training as { network?: unknown };
  return { ...others, ...(channels === undefined || network !== 'pneumonia' ? {} : { channels }), ...training };
}
