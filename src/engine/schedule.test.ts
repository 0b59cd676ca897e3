/** @file Holds the schedules to torch.optim.lr_scheduler (fixtures/optimisers.json). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { scheduleSchema } from './optimiser.ts';
import { rateFactor } from './schedule.ts';

const fixtures = z.object({ schedules: z.array(z.object({ name: z.string(), factors: z.array(z.number()) })) });
const { schedules: expected } = fixtures.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures/optimisers.json'), 'utf8')),
);

const SCHEDULES: Readonly<Record<string, z.input<typeof scheduleSchema>>> = {
  constant: { kind: 'constant' },
  step: { kind: 'step', step_size: 5, gamma: 0.3 },
  cosine: { kind: 'cosine', min_factor: 0.1 },
  'constant, warm-up': { kind: 'constant', warmup_epochs: 4 },
  'step, warm-up': { kind: 'step', step_size: 4, gamma: 0.5, warmup_epochs: 3 },
  'cosine, warm-up': { kind: 'cosine', warmup_epochs: 2 },
};

test('the fixtures cover every schedule', () => {
  assert.deepEqual(
    expected.map(({ name }) => name),
    Object.keys(SCHEDULES),
  );
});

for (const { name, factors } of expected) {
  test(`the factors of 12 epochs as in torch: ${name}`, () => {
    const schedule = scheduleSchema.parse(SCHEDULES[name]);
    for (const [epoch, factor] of factors.entries()) {
      const got = rateFactor(schedule, epoch, factors.length);
      assert.ok(Math.abs(got - factor) < 1e-9, `epoch ${epoch}: ${got}, expected ${factor}`);
    }
  });
}

test('between whole epochs the cosine and the warm-up move on, a step does not', () => {
  const at = (kind: string, epoch: number) => rateFactor(scheduleSchema.parse(SCHEDULES[kind]), epoch, 12);
  assert.equal(at('cosine, warm-up', 0.5), 0.25);
  assert.equal(at('cosine, warm-up', 4.5).toFixed(12), ((1 + Math.cos(Math.PI / 4)) / 2).toFixed(12));
  assert.equal(at('step', 4.99), 1);
  assert.equal(at('cosine', 12), 0.1);
  // A schedule that is all warm-up.
  const long = scheduleSchema.parse({ kind: 'cosine', warmup_epochs: 12 });
  assert.equal(rateFactor(long, 11.5, 12), 11.5 / 12);
});
