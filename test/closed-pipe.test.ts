import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { program } from './cli.ts';

test('a reader that has seen enough is no defect', { skip: process.platform === 'win32' }, () => {
  // It has closed its end before anything is written.
  const line = '"$0" "$1" --help | exec true';
  const { status, stderr } = spawnSync('sh', ['-c', line, process.execPath, program], { encoding: 'utf8' });
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
});
