/** @file Holds the house together: a room imports only from rooms before it in the list, and only their index. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';

const ROOMS = [
  'base',
  'engine',
  'federation',
  'radiographs',
  'workspace',
  'reports',
  'tracking',
  'components',
  'pipelines',
  'messaging',
  'backends',
  'across',
  'agent',
  'azure',
  'cli',
];
const source = join(import.meta.dirname, '..', 'src');

/** What the file `src/<path>` breaks of the rule by importing `target`, also under `src/`. */
function broken(path: string, target: string): string | undefined {
  const [room, other] = [path.split(sep)[0]!, target.split(sep)[0]!];
  if (room === other) {
    return target === join(room, 'index.ts') && path !== target ? 'imports its own index' : undefined;
  }
  if (ROOMS.indexOf(other) > ROOMS.indexOf(room)) return `imports the later room ${other}`;
  return target === join(other, 'index.ts') ? undefined : `imports ${target}, not the index of ${other}`;
}

test('every folder of src/ is a known room', () => {
  const rooms = new Set(globSync('**/*.ts', { cwd: source }).map((path) => path.split(sep)[0]!));
  assert.deepEqual(
    [...rooms].filter((room) => !ROOMS.includes(room)),
    [],
  );
});

test('rooms import only earlier rooms, through their index', () => {
  const violations: string[] = [];
  for (const path of globSync('**/*.ts', { cwd: source })) {
    if (path.endsWith('.test.ts')) continue;
    const text = readFileSync(join(source, path), 'utf8');
    for (const [, specifier] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
      const target = relative(source, join(source, dirname(path), specifier!));
      if (target.startsWith('..')) continue;
      const problem = broken(path, target);
      if (problem) violations.push(`src/${path} ${problem}`);
    }
  }
  assert.deepEqual(violations, []);
});

test('the rule sees what it forbids', () => {
  assert.match(broken('base/rng.ts', 'engine/index.ts') ?? '', /later room/);
  assert.match(broken('engine/train.ts', 'base/rng.ts') ?? '', /not the index/);
  assert.match(broken('base/rng.ts', 'base/index.ts') ?? '', /its own index/);
  assert.equal(broken('engine/train.ts', 'base/index.ts'), undefined);
});
