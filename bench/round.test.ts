/** @file Keeps the bench of a round running, and holds its averaging, which goes piece by piece, to that of the aggregation step. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeSafetensors, encodeSafetensors } from '../src/base/index.ts';
import { average } from '../src/federation/index.ts';
import { averageFiles } from './round-average.ts';

const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` };
const hasServer = spawnSync('nats-server', ['--version'], { env: environment }).status === 0;

test('bench round --tiny gives seconds and memory', { skip: !hasServer && 'nats-server is not installed' }, () => {
  const program = join(import.meta.dirname, 'run.ts');
  const { stdout, stderr, status } = spawnSync(process.execPath, [program, 'round', '--tiny', '--json'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const results = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { case: string; ours: number; unit: string });
  assert.deepEqual(
    results.slice(0, 2).map((result) => [result.case.split(',')[0], result.unit]),
    [
      ['a round', 's'],
      ['peak memory of the orchestrator', 'MiB'],
    ],
  );
  for (const { ours } of results) assert.ok(ours > 0);
});

test('averaging piece by piece gives what averaging the whole gives', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'fedrad-bench-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  // Two pieces of 2 MiB and a bit, over two tensors.
  const lengths = [700_001, 400_000];
  const updates = [1, 2, 3].map((k) => ({
    silo: `silo${k - 1}`,
    examples: 1000 + k - 1,
    parameters: new Map(
      lengths.map((length, i) => [
        `t${i}`,
        { shape: [length], data: Float32Array.from({ length }, (_, at) => Math.sin(at * k + i)) },
      ]),
    ),
  }));
  const paths: string[] = [];
  for (const { silo, parameters } of updates) {
    const path = join(folder, silo);
    await writeFile(path, encodeSafetensors({ parameters, metadata: {} }));
    paths.push(path);
  }
  await averageFiles(paths, join(folder, 'mean'));
  const { parameters } = decodeSafetensors(await readFile(join(folder, 'mean')), 'mean');
  assert.deepEqual(parameters, average(updates, 'examples'));
});
