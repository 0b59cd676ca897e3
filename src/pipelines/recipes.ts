/** @file Recipes: defaults of training_parameters under one word. A key that the config names itself wins over its recipe. */

/** Values as they would stand in config.yaml. */
export const RECIPES = {
  /** The Azure ML example's training. */
  seed: {},
  /** PLACEHOLDER, to be replaced by the values that were measured to be best on real radiographs. */
  recommended: { network: 'small', image_size: 112, lr_schedule: 'cosine', class_weights: 'balanced' },
} as const satisfies Record<string, Readonly<Record<string, unknown>>>;

export type RecipeName = keyof typeof RECIPES;

/** training_parameters with the defaults of the recipe that they name; what is wrong with them is for the schema to say. */
export function withRecipe(training: unknown): unknown {
  if (training === null || typeof training !== 'object' || Array.isArray(training)) return training;
  const { recipe } = training as { recipe?: unknown };
  const known = typeof recipe === 'string' && Object.hasOwn(RECIPES, recipe);
  return known ? { ...RECIPES[recipe as RecipeName], ...training } : training;
}
