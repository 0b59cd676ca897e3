/** @file The examples of docs/networks.md are configs that work. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseConfig } from './check-config.ts';
import { networkOf, trainingSchema } from './training.ts';

test('every example of docs/networks.md is read', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'networks.md'), 'utf8');
  const examples = [...page.matchAll(/```yaml\ntraining_parameters:\n([\s\S]*?)```/g)].map(([, text]) => text!);
  assert.equal(examples.length, 2);
  const [recommended, own] = examples.map((text) => parseConfig(text, trainingSchema, 'docs/networks.md'));
  assert.equal(recommended!.num_of_iterations * recommended!.epochs, 30);
  assert.equal(networkOf(own!).layers.length, 8);
});
